"""Owns files that are for one user alone: made, read and replaced durably, with mode 0600."""

import contextlib
import glob
import os
import stat
from pathlib import Path

from sealcast.core.errors import UsageError

PRIVATE_MODE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO
NEW, LEFT = ".new", ".old"
"""How the names end of a file that is to take another's place, and of one whose place was taken."""


def write_private(path: Path, data: bytes) -> None:
    """Create a file of mode 0600 durably; raises UsageError if it exists or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    except FileExistsError as error:
        raise never_overwritten(path) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path)
    except OSError as error:
        # Half a file would be in the way of the next try.
        path.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def replace_private(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of `path` durably, at once: a reader sees the old or the new.

    Raises UsageError if it cannot be written; the old file stands then.
    """
    # Two programs may renew one vault at the same time: each has a new file of its own.
    new = path.with_name(f".{path.name}.{os.getpid()}{NEW}")
    try:
        new.unlink(missing_ok=True)
        write_private(new, data)
        _keep_owner(path, new)
        new.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def replace_and_overwrite(path: Path, data: bytes) -> None:
    """Do as `replace_private`, and overwrite the bytes of the file that stood there; may be done again.

    Where they are overwritten is the file system's decision: one that copies on write, a journal, a snapshot
    or a flash disk may have them still. What a crash leaves, `overwrite_left` finds. Raises UsageError.
    """
    overwrite_left(path)
    try:
        old = os.open(path, os.O_RDWR)
        try:
            # The second name is how a later run finds the old bytes; some file systems have none.
            with contextlib.suppress(OSError):
                os.link(path, _left(path))
                _sync_folder(path)
            replace_private(path, data)
            _overwrite(old)
        finally:
            os.close(old)
        _left(path).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def overwrite_left(path: Path) -> None:
    """Overwrite old bytes of `path` that an interrupted run left beside it; raises UsageError."""
    try:
        for left in (_left(path), *path.parent.glob(f".{glob.escape(path.name)}.*{NEW}")):
            if not left.exists() or left.samefile(path):
                left.unlink(missing_ok=True)
                continue
            old = os.open(left, os.O_RDWR)
            try:
                # The name first: whoever is just writing this file must not put zeros in the place of `path`.
                if left != _left(path):
                    left.unlink()
                _overwrite(old)
            finally:
                os.close(old)
            left.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot overwrite what is left of {path}: {error.strerror}") from error


def erase_private(path: Path) -> None:
    """Take a file away durably, and overwrite its bytes as far as the file system lets us.

    Raises UsageError. One that is not there is no error.
    """
    try:
        old = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot erase {path}: {error.strerror}") from error
    try:
        # The name first: nobody is to find zeros in its place.
        path.unlink(missing_ok=True)
        _sync_folder(path)
        _overwrite(old)
    except OSError as error:
        raise UsageError(f"cannot erase {path}: {error.strerror}") from error
    finally:
        os.close(old)


def read_private(path: Path) -> bytes:
    """Read a file that nobody else may read; raises UsageError naming the command that mends it."""
    try:
        mode = path.stat().st_mode
        if mode & OTHERS:
            raise UsageError(f"{path} can be read by others: chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _keep_owner(path: Path, new: Path) -> None:
    """Give a new file the owner of the one it replaces, where we may: root renews what a server reads."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        owner = path.stat()
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, owner.st_uid, owner.st_gid)


def _left(path: Path) -> Path:
    return path.with_name(f".{path.name}{LEFT}")


def _overwrite(descriptor: int) -> None:
    """Write zeros over all of an open file, to the disk."""
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, bytes(size), 0)
    os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    """Have the disk know the name of a file, too."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def never_overwritten(path: Path) -> UsageError:
    """Return the complaint about a file that is in the way."""
    return UsageError(f"{path} exists and is never overwritten; move it away or choose another name")
