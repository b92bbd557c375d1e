"""Owns the file that content is written into: a temporary name until all of it is there, then its own."""

import contextlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sealcast.core.errors import UsageError
from sealcast.device.files import never_overwritten

PART = ".part"


@contextmanager
def sink_at(path: Path, size: int, *, is_forced: bool = False) -> Generator[int, None, None]:
    """Open where content of `size` bytes goes; an error or an end inside the block leaves nothing behind.

    What is there and no file (a pipe, a device) is written into as it is. Raises UsageError for a file
    that is there, unless `is_forced`, and for what cannot be written.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with _opened(path, os.O_WRONLY) as descriptor:
            yield descriptor
        return
    if path.exists() and not is_forced:
        raise never_overwritten(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    part.unlink(missing_ok=True)
    try:
        with _opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            _check_room(descriptor, size, path)
            yield descriptor
        _put(part, path, is_forced=is_forced)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int, None, None]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_room(descriptor: int, size: int, path: Path) -> None:
    """Raise UsageError at once where the disk has no room: better than after an hour."""
    found = os.fstatvfs(descriptor)
    if found.f_bavail * found.f_frsize < size:
        raise UsageError(f"there is no room for {path}, which would have {size} bytes")


def _put(part: Path, path: Path, *, is_forced: bool) -> None:
    """Give the file its name; a name that was taken meanwhile stays another's."""
    try:
        if is_forced:
            part.replace(path)
        else:
            os.link(part, path)
    except FileExistsError as error:
        raise never_overwritten(path) from error
    except OSError as error:
        if is_forced:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        with contextlib.suppress(OSError):
            part.replace(path)
            return
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
