"""Owns what an agent keeps on disk: what waits for an opening, and the content keys of what was bought.

```
ORDER.pending         state, sealed ‖ newline ‖ header (JWS) ‖ newline ‖ licence (JWS), if there is one
DIGEST.entitlement    content key, sealed; DIGEST = SHA-256 of the header's JWS, its first 32 in hexadecimal
lock                  held by the agent that runs
sealed                JWE to the device's KEK of a JWS by its signing key: nobody else reads or makes one
```
Files are 0600 and on the disk before what follows from them leaves the agent. With the shares of an order
complete, the entitlement is written first and what waited is erased after: a crash leaves both, or one.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from sealcast.agent.holding import Held
from sealcast.core.errors import AuthenticationError, RefusedError, SealcastError, UsageError
from sealcast.core.secret import Secret
from sealcast.device.files import NEW, PRIVATE_MODE, erase_private, read_private, replace_private
from sealcast.messages import jose
from sealcast.messages.agent import TYP_ENTITLEMENT, TYP_PENDING
from sealcast.messages.encoding import decode, encode
from sealcast.messages.package import PackageId, header_digest

PENDING_MAX = 1_000
"""Orders that wait at once: each has a file of some kilobytes, and nobody buys so much at a time."""

T = TypeVar("T")
PENDING, ENTITLEMENT, LOCK = ".pending", ".entitlement", "lock"


class Blinding(msgspec.Struct, frozen=True, kw_only=True):
    """One part: c' as it left, and r until the share is there, or known to be the seller's fault."""

    number: int
    blinded: bytes
    r: bytes | None
    share: bytes | None = None
    is_wrong: bool = False

    def __repr__(self) -> str:
        return f"Blinding(of share {self.number})"


class PendingState(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for an order's openings.

    `broken` is how many shares fitted what the seller signed and gave no content key, once the device has
    attested that: the order opens nothing any more.
    """

    order: str
    package: PackageId
    digest: str
    title: str
    threshold: int
    parts: list[Blinding]
    broken: int = 0


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """The content key of one package, bought under the lead's `key`.

    `wrong_chunk` is one that the seller signed and that does not open.
    """

    order: str
    key: str
    package: PackageId
    digest: str
    title: str
    threshold: int
    content_key: bytes
    wrong_chunk: int | None = None

    def __repr__(self) -> str:
        return f"Entitlement({self.package})"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, with the tokens that it is about."""

    state: PendingState
    header: str
    licence: str | None


class Secrets:
    """One device's folder. Not for several threads at once; one agent at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; raises UsageError if another agent of this device runs."""
        self.folder = folder
        try:
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
        except OSError as error:
            raise UsageError(f"cannot write {folder / LOCK}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise UsageError("another device agent of this device is running") from error

    def close(self) -> None:
        """Leave the folder to another agent."""
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def pending(self, order: str, held: Held) -> Pending | None:
        """Return what waits for an order; raises UsageError for a damaged file."""
        return self._read_pending(self._pending_path(order), held)

    def keep_pending(self, pending: Pending, held: Held) -> None:
        """Keep what waits, durably; raises UsageError, and RefusedError where too much waits."""
        path = self._pending_path(pending.state.order)
        if not path.exists() and sum(1 for _ in self.folder.glob(f"*{PENDING}")) >= PENDING_MAX:
            raise RefusedError(
                "busy", f"{PENDING_MAX} orders wait here already: forget some of their packages"
            )
        lines = (_sealed(encode(pending.state), held, TYP_PENDING), pending.header, pending.licence or "")
        replace_private(path, "\n".join(lines).encode())

    def entitlement(self, digest: str, held: Held) -> Entitlement | None:
        """Return the content key of the package with this header; raises UsageError for a damaged file."""
        return self._read_entitlement(self._entitlement_path(digest), held)

    def keep_entitlement(self, entitlement: Entitlement, held: Held) -> None:
        """Keep a content key durably; raises UsageError."""
        path = self._entitlement_path(entitlement.digest)
        replace_private(path, _sealed(encode(entitlement), held, TYP_ENTITLEMENT).encode())

    def complete(self, entitlement: Entitlement, held: Held) -> None:
        """Keep a content key, and erase what waited for it."""
        self.keep_entitlement(entitlement, held)
        erase_private(self._pending_path(entitlement.order))

    def tidy(self, held: Held) -> None:
        """Erase what waits for a content key that is here, as a crash leaves it, and half-written files.

        An order of which something is wrong stays: the device's word on it is worth its price.
        """
        for path in self.folder.glob(f".*{NEW}"):
            erase_private(path)
        for pending in list(self.all_pending(held)):
            state = pending.state
            is_wrong = state.broken > 0 or any(each.is_wrong for each in state.parts)
            entitlement = self.entitlement(state.digest, held)
            if entitlement is not None and (entitlement.order == state.order or not is_wrong):
                erase_private(self._pending_path(state.order))

    def all_pending(self, held: Held) -> Iterator[Pending]:
        """Yield all that waits, by order."""
        for path in sorted(self.folder.glob(f"*{PENDING}")):
            pending = self._read_pending(path, held)
            if pending is not None:
                yield pending

    def all_entitlements(self, held: Held) -> Iterator[Entitlement]:
        """Yield all content keys."""
        for path in sorted(self.folder.glob(f"*{ENTITLEMENT}")):
            found = self._read_entitlement(path, held)
            if found is not None:
                yield found

    def forget(self, package: str, held: Held) -> int:
        """Erase all that there is of a package; return how many files."""
        paths = [
            self._pending_path(p.state.order) for p in self.all_pending(held) if p.state.package == package
        ]
        paths += [
            self._entitlement_path(e.digest) for e in self.all_entitlements(held) if e.package == package
        ]
        for path in paths:
            erase_private(path)
        return len(paths)

    def _read_pending(self, path: Path, held: Held) -> Pending | None:
        if not path.exists():
            return None

        def read() -> Pending:
            sealed, header, licence = read_private(path).decode("ascii").split("\n")
            state = decode(_unsealed(sealed, held, TYP_PENDING), PendingState)
            if state.order != path.stem or state.digest != header_digest(header):
                raise AuthenticationError("another order's")
            return Pending(state=state, header=header, licence=licence or None)

        return _reading(path, read)

    def _read_entitlement(self, path: Path, held: Held) -> Entitlement | None:
        if not path.exists():
            return None

        def read() -> Entitlement:
            found = decode(_unsealed(read_private(path).decode("ascii"), held, TYP_ENTITLEMENT), Entitlement)
            if found.digest != path.stem:
                raise AuthenticationError("another package's")
            return found

        return _reading(path, read)

    def _pending_path(self, order: str) -> Path:
        return self.folder / f"{order}{PENDING}"

    def _entitlement_path(self, digest: str) -> Path:
        return self.folder / f"{digest}{ENTITLEMENT}"


def content_key(entitlement: Entitlement) -> Secret:
    """Return the content key of an entitlement."""
    return Secret(entitlement.content_key)


def _reading(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except UsageError:
        raise
    except (SealcastError, ValueError) as error:
        raise UsageError(f"{path} is damaged, or of another device: move it away") from error


def _sealed(payload: bytes, held: Held, typ: str) -> str:
    signed = jose.sign(payload, held.keys.signing, kid=held.credential.id, typ=typ)
    return jose.seal(signed.encode(), held.keys.kek.public(), kid=held.credential.id, typ=typ)


def _unsealed(token: str, held: Held, typ: str) -> bytes:
    return jose.verify(jose.unseal(token, held.keys.kek, typ=typ), held.keys.signing.public(), typ=typ)
