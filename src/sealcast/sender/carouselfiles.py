"""Owns which files of a folder go round in a carousel: finds them, digests them, reads them in pieces.

Whoever fills the folder writes elsewhere, or under a hidden name, and renames: what is found under its name
is taken to be whole. A file that is replaced while it is sent is sent to its end as it was.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from sealcast.core.errors import UsageError
from sealcast.messages.carousel import FILES_MAX, CarouselFile, refusal
from sealcast.wire.alc import FILE_BYTES_MAX, SEGMENT_BYTES

DIGEST_STEP_BYTES = 1 << 20

log = structlog.get_logger("sealcast.sender")


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one state of a file from another without reading it."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, state: os.stat_result) -> Self:
        return cls(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


class CarouselFolder:
    """A folder whose regular files go round; nothing is read twice that did not change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[_Version, CarouselFile]] = {}
        self._told: set[str] = set()

    def check(self) -> None:
        """Raise UsageError if this is no folder that we can read."""
        try:
            if not stat.S_ISDIR(self._path.stat().st_mode):
                raise UsageError(f"{self._path} is not a folder; put the files of a carousel into one")
            os.scandir(self._path).close()
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from error

    def scan(self) -> list[CarouselFile]:
        """Return the files that are there now, by name; digests those that are new, 1 GB in 2 to 6 s."""
        known, self._known = self._known, {}
        for name, version in self._found():
            before = known.get(name)
            if before is not None and before[0] == version:
                self._known[name] = before
            elif (file := self._digested(name, version)) is not None:
                self._known[name] = version, file
        return [self._known[name][1] for name in sorted(self._known)]

    def open(self, file: CarouselFile) -> "OpenFile | None":
        """Open a file as it was found; None if it is gone or another one by now."""
        found = self._known.get(file.name)
        if found is None or found[1] != file:
            return None
        version = found[0]
        try:
            opened = OpenFile(_open_regular(self._path / file.name), version)
        except OSError:
            return None
        if opened.is_same():
            return opened
        opened.close()
        return None

    def _found(self) -> Iterator[tuple[str, _Version]]:
        try:
            with os.scandir(self._path) as entries:
                names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from error
        taken = 0
        for name in names:
            try:
                state = (self._path / name).lstat()
            except OSError:
                continue
            reason = refusal(name)
            if reason is None and state.st_size > FILE_BYTES_MAX:
                reason = f"it is larger than {FILE_BYTES_MAX} bytes"
            if reason is None and taken == FILES_MAX:
                reason = f"a carousel has at most {FILES_MAX} files"
            if reason is not None:
                self._tell_once(name, reason)
                continue
            taken += 1
            yield name, _Version.of(state)

    def _digested(self, name: str, version: _Version) -> CarouselFile | None:
        """Return a new file with its digest; None if it changed under our eyes: the next round finds it."""
        try:
            opened = OpenFile(_open_regular(self._path / name), version)
        except OSError as error:
            self._tell_once(name, error.strerror or str(error))
            return None
        try:
            digest = hashlib.sha256()
            for begin in range(0, version.size_bytes, DIGEST_STEP_BYTES):
                digest.update(opened.read(begin, DIGEST_STEP_BYTES))
            is_same = opened.is_same()
        except OSError as error:
            self._tell_once(name, error.strerror or str(error))
            return None
        finally:
            opened.close()
        return CarouselFile(name, version.size_bytes, digest.hexdigest()) if is_same else None

    def _tell_once(self, name: str, reason: str) -> None:
        """Log that a file stays out; what is hidden or temporary is so on purpose."""
        if name not in self._told and not name.startswith(".") and "temporary" not in reason:
            log.warning("left out of the carousel", file=name, reason=reason)
        self._told.add(name)


class OpenFile:
    """One version of a file, held open: what replaces it does not change what is read."""

    def __init__(self, fd: int, version: _Version) -> None:
        self._fd, self._version = fd, version

    def segment(self, segment: int) -> bytes:
        """Read one segment; raises OSError."""
        return self.read(segment * SEGMENT_BYTES, SEGMENT_BYTES)

    def read(self, begin: int, limit_bytes: int) -> bytes:
        """Read from `begin` on; raises OSError."""
        return os.pread(self._fd, limit_bytes, begin)

    def is_same(self) -> bool:
        """Whether it was neither written to nor cut short since it was found."""
        now = _Version.of(os.fstat(self._fd))
        return now == self._version

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def _open_regular(path: Path) -> int:
    """Open a file that cannot have become a link or a pipe in between; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a regular file")
    return fd
