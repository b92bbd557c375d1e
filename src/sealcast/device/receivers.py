"""Owns which receivers of a device run on this machine, so that another program can end one of them.

```
DEVICE-PID-N.lock    held (flock) for as long as the receiver runs: what nobody holds is stale
DEVICE-PID-N.end     put there to end one channel of a process that receives many
DEVICE-CHANNEL.last  the index of the last packet that a receiver of the channel, by number, has opened
```
DEVICE follows from operator and device. A process that receives one channel is ended by SIGTERM.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from sealcast.core.errors import FormatError, UsageError
from sealcast.device.files import PRIVATE_MODE, replace_private
from sealcast.device.vault import Credential
from sealcast.messages.encoding import decode, encode

FOLDER = "receivers"
"""Below the state folder."""

NAME_CHARS = 32
"""128 bits of a hash: no two devices have one name."""

LOCK_BYTES_MAX = 4_096
LAST = ".last"
INDEX_DIGITS_MAX = 15
"""Digits of 48 bits."""

_numbers = itertools.count(1)

log = structlog.get_logger("sealcast.device")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock file says: `target` as it was typed; name and number of the channel once they are known."""

    pid: int
    target: str
    is_one_of_many: bool = False
    channel: str = ""
    number: int | None = None

    def is_of(self, channel: str) -> bool:
        """Whether this is a receiver of the channel of that name, number or address."""
        return channel in {self.target, self.channel, str(self.number)}


@dataclass(frozen=True, slots=True)
class RunningReceiver:
    """A receiver that runs: its lock file, and what that says."""

    path: Path
    entry: Entry

    def end(self) -> None:
        """Have it end well: in its own time, with its stop notice. Raises UsageError if we may not."""
        try:
            if self.entry.is_one_of_many:
                _end_path(self.path).touch(mode=PRIVATE_MODE)
            elif self.is_running():
                os.kill(self.entry.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except OSError as error:
            raise UsageError(f"cannot end the process {self.entry.pid}: {error.strerror}") from error

    def is_running(self) -> bool:
        """Whether somebody still holds its lock."""
        return _is_held(self.path)


class ReceiverLock:
    """Says that a receiver runs, for as long as it is entered."""

    def __init__(
        self, folder: Path, credential: Credential, target: str, *, is_one_of_many: bool = False
    ) -> None:
        self._folder, self._credential = folder, credential
        self._path = folder / f"{_name(credential)}-{os.getpid()}-{next(_numbers)}.lock"
        self._entry = Entry(pid=os.getpid(), target=target, is_one_of_many=is_one_of_many)
        self._lock = -1

    def __enter__(self) -> Self:
        """Take the lock. Where that cannot be, a line in the log says so: no receiver is to fail for it."""
        # What killed ones left behind goes, so that it never adds up.
        for _ in running_receivers(self._folder, self._credential, ()):
            pass
        # Under another name until it is held: one that nobody holds would be taken for stale.
        new = self._path.with_suffix(".new")
        try:
            self._lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write()
            new.replace(self._path)
        except OSError as error:
            self._close()
            log.warning("nobody will find this receiver to stop it", file=str(new), reason=error.strerror)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
                _end_path(self._path).unlink(missing_ok=True)
            self._close()

    def note_channel(self, name: str, number: int) -> None:
        """Say which channel it is, now that the key server told."""
        self._entry = msgspec.structs.replace(self._entry, channel=name, number=number)
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                self._write()

    def note_last(self, index: int) -> None:
        """Leave behind the index of the last packet that was opened, for a statement of withdrawal."""
        if self._entry.number is None:
            return
        with contextlib.suppress(UsageError):
            name = self._path.name.partition("-")[0]
            replace_private(self._path.with_name(f"{name}-{self._entry.number}{LAST}"), str(index).encode())

    def is_told_to_end(self) -> bool:
        """Whether somebody asked for the end of this one of many."""
        return self._lock >= 0 and _end_path(self._path).exists()

    def _write(self) -> None:
        text = encode(self._entry)
        os.pwrite(self._lock, text, 0)
        os.ftruncate(self._lock, len(text))

    def _close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def running_receivers(
    folder: Path, credential: Credential, channels: Sequence[str] | None = None
) -> Iterator[RunningReceiver]:
    """Yield the running receivers of a device, of these channels (names, numbers) or of all.

    Removes the files of those that were killed.
    """
    for path in sorted(folder.glob(f"{_name(credential)}-*.lock")):
        if not _is_held(path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                _end_path(path).unlink(missing_ok=True)
            continue
        entry = _read(path)
        if entry is not None and (channels is None or any(entry.is_of(channel) for channel in channels)):
            yield RunningReceiver(path, entry)


def last_indices(folder: Path, credential: Credential) -> dict[int, int]:
    """Return by channel number the index of the last packet that this machine opened, where known."""
    found: dict[int, int] = {}
    for path in folder.glob(f"{_name(credential)}-*{LAST}"):
        with contextlib.suppress(OSError, ValueError):
            found[int(path.stem.rpartition("-")[2])] = int(path.read_text()[:INDEX_DIGITS_MAX])
    return found


def _is_held(path: Path) -> bool:
    """Whether a lock file is there and somebody holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared: two programs that look at the same moment must not take each other for the receiver.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> Entry | None:
    try:
        return decode(path.read_bytes()[:LOCK_BYTES_MAX], Entry)
    except (OSError, FormatError):
        return None


def _end_path(lock: Path) -> Path:
    return lock.with_suffix(".end")


def _name(credential: Credential) -> str:
    whose = f"{credential.operator}\0{credential.id}".encode()
    return hashlib.sha256(whose).hexdigest()[:NAME_CHARS]
