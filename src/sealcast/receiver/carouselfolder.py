"""Owns the folder that a carousel is received into: parts of files, whole files, what is in the way.

```
DIR/NAME                           complete, digested, on the disk; appears at once under its name
DIR/.sealcast-carousel/SESSION     what is there of a file: its source symbols in their places
                      /SESSION.r   its repair symbols, of blocks that are not complete
                      /SESSION.m   which symbols those are, when a receiver ends (`Marks.encode`)
                      /received    JSON: what this folder's receivers wrote, and may replace
```
Names have passed `messages.carousel.refusal`. Everything is relative to the folder as it was opened; a link
is never followed, and nothing is replaced but what a carousel wrote and nobody changed since.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import msgspec

from sealcast.core.errors import LocalError, UsageError
from sealcast.messages.carousel import CarouselFile
from sealcast.receiver.tally import explain_write

WORK_FOLDER = ".sealcast-carousel"
OPEN_PARTS_MAX = 64
"""Open at once; a process may have 1,024 files open, and a carousel 10,000 files."""

DIGEST_STEP_BYTES = 1 << 20
SPARE_BYTES = 64 << 20
"""Left free on the disk."""

_RECEIVED = "received"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Place(Enum):
    """What stands where a file belongs."""

    FREE = "nothing"
    COMPLETE = "the file itself"
    OURS = "another version that a carousel brought"
    TAKEN = "a file of the same name that no carousel brought is in the way"


class _Written(msgspec.Struct, frozen=True):
    """A file as we left it: whoever changes it makes it theirs."""

    inode: int
    size: int
    modified_ns: int
    sha256: str

    def is_still(self, state: os.stat_result) -> bool:
        return (self.inode, self.size, self.modified_ns) == (state.st_ino, state.st_size, state.st_mtime_ns)


class CarouselFolder:
    """One receiver's folder, locked against others; raises LocalError when the disk is full or fails."""

    def __init__(self, path: Path) -> None:
        """Open it; raises UsageError where it is no folder to write into, or another receiver does."""
        try:
            self._dir = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(FileExistsError):
                os.mkdir(WORK_FOLDER, 0o700, dir_fd=self._dir)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._work = os.open(WORK_FOLDER, flags, dir_fd=self._dir)
        except OSError as error:
            raise UsageError(f"cannot write into {path}: {explain_write(error)}") from error
        try:
            fcntl.flock(self._work, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another receiver writes into {path}; give another folder") from error
        self._path = path
        self._parts: OrderedDict[str, int] = OrderedDict()
        self._received = self._read_received()

    def free_bytes(self) -> int:
        """Return how much more may be written."""
        return max(0, shutil.disk_usage(self._path).free - SPARE_BYTES)

    # Files under their names

    def is_free(self, file: CarouselFile) -> bool:
        """Whether nothing stands in a file's place."""
        try:
            os.stat(file.name, dir_fd=self._dir, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return False

    def look(self, file: CarouselFile) -> Place:
        """Say what stands in a file's place; one of the same size is digested, so call it in a thread."""
        try:
            state = os.stat(file.name, dir_fd=self._dir, follow_symlinks=False)
        except FileNotFoundError:
            return Place.FREE
        if not stat.S_ISREG(state.st_mode):
            return Place.TAKEN
        written = self._received.get(file.name)
        is_ours = written is not None and written.is_still(state)
        if written is not None and is_ours and written.sha256 == file.sha256:
            return Place.COMPLETE
        if state.st_size == file.size and self._digest(file.name, self._dir, state.st_size) == file.sha256:
            return Place.COMPLETE
        return Place.OURS if is_ours else Place.TAKEN

    def is_whole(self, file: CarouselFile, part: str) -> bool:
        """Whether a part is the file by its digest; for a thread: 1 GB takes 2 to 6 s."""
        return self._digest(part, self._work, file.size) == file.sha256

    def publish(self, file: CarouselFile, part: str) -> Place:
        """Put a whole part onto the disk and under its name; COMPLETE, or what is in the way."""
        with self._failing("write", file.name):
            fd = os.open(
                part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=self._work
            )
            try:
                os.ftruncate(fd, file.size)
                os.fsync(fd)
                state = os.fstat(fd)
            finally:
                os.close(fd)
            place = self.look(file)
            if place is Place.OURS:
                os.replace(part, file.name, src_dir_fd=self._work, dst_dir_fd=self._dir)
            elif place is not Place.FREE or not self._put_beside(file.name, part):
                return place if place is not Place.FREE else Place.TAKEN
            os.fsync(self._dir)
            self._received[file.name] = _Written(state.st_ino, file.size, state.st_mtime_ns, file.sha256)
            self._write_work(_RECEIVED, msgspec.json.encode(self._received))
        return Place.COMPLETE

    def _put_beside(self, name: str, part: str) -> bool:
        """Give a part its name; False if the name was taken in this moment."""
        try:
            os.link(part, name, src_dir_fd=self._work, dst_dir_fd=self._dir)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links, such as a USB stick's: nothing stood there a moment ago.
            os.rename(part, name, src_dir_fd=self._work, dst_dir_fd=self._dir)
        else:
            os.unlink(part, dir_fd=self._work)
        return True

    def _digest(self, name: str, folder: int, size_bytes: int) -> str | None:
        """Return a file's SHA-256 in hex; None if it is not there, a link, or not that long."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return None
        digest, begin = hashlib.sha256(), 0
        try:
            while data := os.pread(fd, DIGEST_STEP_BYTES, begin):
                digest.update(data)
                begin += len(data)
        except OSError:
            return None
        finally:
            os.close(fd)
        return digest.hexdigest() if begin == size_bytes else None

    # Parts

    def put(self, part: str, offset: int, data: bytes | memoryview) -> None:
        """Write a piece of a part at its place."""
        with self._failing("write", part):
            os.pwrite(self._part(part), data, offset)

    def get(self, part: str, offset: int, size_bytes: int) -> bytes:
        """Read a piece; what was never written is zero, or missing behind the end."""
        with self._failing("read", part):
            return os.pread(self._part(part), size_bytes, offset)

    def release(self, part: str) -> None:
        """Close a part, which stays where it is."""
        fd = self._parts.pop(part, None)
        if fd is not None:
            os.close(fd)

    def discard(self, part: str) -> None:
        """Remove a part."""
        self.release(part)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=self._work)

    def discard_others(self, parts: set[str]) -> None:
        """Remove all parts but these: what earlier receivers left of files that go round no more."""
        with os.scandir(self._work) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if name != _RECEIVED and name not in parts:
                self.discard(name)

    def read_marks(self, part: str) -> bytes | None:
        """Return what was kept of a part's marks, once: they are removed."""
        with contextlib.suppress(OSError):
            fd = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._work)
            with os.fdopen(fd, "rb") as file:
                marks = file.read()
            os.unlink(part, dir_fd=self._work)
            return marks
        return None

    def write_marks(self, part: str, marks: bytes) -> None:
        """Keep a part's marks for the next receiver."""
        with self._failing("write", part):
            self._write_work(part, marks)

    def close(self) -> None:
        """Close everything, and let another receiver have the folder."""
        for part in list(self._parts):
            self.release(part)
        os.close(self._work)
        os.close(self._dir)

    def _part(self, part: str) -> int:
        """Return an open part, the one longest unused closed for it where there are many."""
        fd = self._parts.get(part)
        if fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._parts[part] = fd = os.open(part, flags, 0o666, dir_fd=self._work)
            if len(self._parts) > OPEN_PARTS_MAX:
                os.close(self._parts.popitem(last=False)[1])
        else:
            self._parts.move_to_end(part)
        return fd

    def _read_received(self) -> dict[str, _Written]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            fd = os.open(_RECEIVED, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._work)
            with os.fdopen(fd, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, _Written])
        return {}

    def _write_work(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{name}.new", flags, 0o600, dir_fd=self._work)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(f"{name}.new", name, src_dir_fd=self._work, dst_dir_fd=self._work)

    @contextlib.contextmanager
    def _failing(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LocalError(f"cannot {what} {name} in {self._path}: {explain_write(error)}") from error
