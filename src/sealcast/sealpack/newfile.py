"""Owns files that appear whole under their name or not at all, whatever ends the program that writes them.

Where the system can (Linux, most file systems), the file has no name before it is whole, so that even a
killed program leaves nothing. Elsewhere, for instance on a stick with FAT, it is hidden beside its place, and
removed by whatever ends the program in an orderly way.
"""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sealcast.core.errors import UsageError
from sealcast.device.files import never_overwritten

MODE = 0o666
"""What a new file may be read and written by, less the user's umask: as with cp."""


class NewFile:
    """A file being written, used in a `with`; `descriptor` is open for reading and writing.

    It is there after `keep`, and only then. What stands under its name already is never overwritten.
    """

    def __init__(self, path: Path, *, is_named: bool = False) -> None:
        """Begin a file; raises UsageError where it exists or cannot be written.

        `is_named`: as where the system knows no files without a name.
        """
        self.path = path
        self._hidden: Path | None = None
        self.descriptor = -1
        if path.is_symlink() or path.exists():
            raise never_overwritten(path)
        try:
            if not is_named:
                # Some file systems know no such files, and say so in several ways.
                with contextlib.suppress(OSError, AttributeError):
                    self.descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, MODE)
            if self.descriptor < 0:
                hidden = path.with_name(f".{path.name}.{os.getpid()}.new")
                self.descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, MODE)
                self._hidden = hidden
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)
        if self._hidden is not None:
            self._hidden.unlink(missing_ok=True)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at an offset; raises UsageError where there is no room, or no disk any more."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self.descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error

    def check_room(self, size: int) -> None:
        """Raise UsageError where the disk has no room for a file of `size` bytes, before any is written."""
        found = os.fstatvfs(self.descriptor)
        if (free := found.f_bavail * found.f_frsize) < size:
            raise UsageError(f"cannot write {self.path}: it takes {size} bytes, and {free} are free there")

    def keep(self, *, is_synced: bool = False) -> None:
        """Give the file its name; raises UsageError where another has it by now, or it cannot be.

        With `is_synced` content and name are on the disk first.
        """
        try:
            if is_synced:
                os.fsync(self.descriptor)
            self._name()
            if is_synced:
                _sync_folder(self.path.parent)
        except FileExistsError as error:
            raise never_overwritten(self.path) from error
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error

    def _name(self) -> None:
        if self._hidden is None:
            # With a folder's descriptor given, Python asks the system to follow the link in /proc.
            folder = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.link(str(self.descriptor), self.path, src_dir_fd=folder, follow_symlinks=True)
            finally:
                os.close(folder)
            return
        try:
            os.link(self._hidden, self.path)
        except FileExistsError:
            raise
        except OSError:
            # No second names here: between the look and the change another could take the name, briefly.
            if self.path.exists():
                raise never_overwritten(self.path) from None
            self._hidden.rename(self.path)
            self._hidden = None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
