"""Owns the outbox of a withdrawing device: its statement until the receipt is there, and the receipts.

```
NAME.json            the statement that waits for its receipt; at most one
NAME-COUNTER.receipt the receipt of each withdrawal, a JWS by the key server: proof for the device
NAME-COUNTER.receipt-HASH one of the same counter, of before the key server went back to a backup
NAME-COUNTER.refused a statement that the key server did not accept
NAME.lock            held by the program that withdraws
```
NAME follows from operator, device and its signing key: a device that enrols anew has another outbox.
Everything is 0600 and on the disk before the next step: a withdrawal that is interrupted goes on from here.
"""

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from sealcast.core.errors import SealcastError, UsageError
from sealcast.device.files import PRIVATE_MODE, read_private, replace_private
from sealcast.device.vault import Credential
from sealcast.messages.encoding import decode, encode
from sealcast.messages.jwk import thumbprint

NAME_CHARS = 32
"""128 bits of a hash: no two devices have one outbox."""

HASH_CHARS = 8
"""Of a receipt, in its file's name: a device has a handful of them."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A statement on its way: `scope` and `channels` as the key server gave them, `counter` its number."""

    scope: str
    channels: list[str]
    counter: int
    statement: str


def outbox_name(credential: Credential) -> str:
    """Return the name of a device's outbox; it stays when the keys are destroyed."""
    if credential.destroyed is not None:
        return credential.destroyed.outbox
    whose = f"{credential.operator}\0{credential.id}\0".encode()
    return hashlib.sha256(whose + thumbprint(credential.signing)).hexdigest()[:NAME_CHARS]


def read_waiting(folder: Path, credential: Credential) -> Waiting | None:
    """Return the statement of a device that waits for its receipt; raises UsageError for a damaged file."""
    path = folder / f"{outbox_name(credential)}.json"
    if not path.exists():
        return None
    try:
        return decode(read_private(path), Waiting)
    except UsageError:
        raise
    except SealcastError as error:
        raise UsageError(f"{path} is damaged; restore it from your backup, or move it away") from error


class Outbox:
    """The outbox of one device, for one program at a time; used in a `with`."""

    def __init__(self, folder: Path, credential: Credential) -> None:
        self.folder = folder
        self._credential = credential
        self._lock = -1
        self.name = outbox_name(credential)

    def __enter__(self) -> Self:
        """Take the lock; raises UsageError if another program of this device withdraws now."""
        path = self.folder / f"{self.name}.lock"
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._let_go()
            raise UsageError("another program is withdrawing with this device; wait for its end") from error
        except OSError as error:
            self._let_go()
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    @property
    def waiting(self) -> Waiting | None:
        """The statement that waits for its receipt; raises UsageError for a damaged file."""
        return read_waiting(self.folder, self._credential)

    def put(self, waiting: Waiting) -> None:
        """Keep a statement durably, before anything is destroyed; raises UsageError."""
        replace_private(self._path, encode(waiting) + b"\n")

    def keep_receipt(self, counter: int, receipt: str) -> Path:
        """Keep a receipt durably, once; return its file. Another one of the same counter stays beside it."""
        path = self._receipt_path(counter)
        kept = self.receipt(counter)
        if kept not in {None, receipt}:
            path.replace(path.with_name(f"{path.name}-{_short(kept or '')}"))
        if kept != receipt:
            replace_private(path, receipt.encode() + b"\n")
        return path

    def receipt(self, counter: int) -> str | None:
        """Return the receipt of a withdrawal, if it is there."""
        path = self._receipt_path(counter)
        return read_private(path).decode("ascii", "replace").strip() if path.exists() else None

    def last_receipt(self) -> Path | None:
        """Return the file of the latest receipt."""
        counters = [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self.name}-*.receipt")]
        return self._receipt_path(max(counters)) if counters else None

    def clear(self) -> None:
        """Drop the statement: its receipt is kept, and all is destroyed that was to be."""
        self._path.unlink(missing_ok=True)

    def set_aside(self, counter: int) -> Path:
        """Keep a statement that the key server refused out of the way, and return its file."""
        path = self.folder / f"{self.name}-{counter}.refused"
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(path)
        return path

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def _receipt_path(self, counter: int) -> Path:
        return self.folder / f"{self.name}-{counter}.receipt"

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _short(receipt: str) -> str:
    return hashlib.sha256(receipt.encode()).hexdigest()[:HASH_CHARS]
