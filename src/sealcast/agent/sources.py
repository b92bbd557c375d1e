"""Owns where a client's package is: a file, or a place on the web that is read part by part (RFC 9110 §14).

The agent is given descriptors. Of a file, the file; of the web, windows in memory that have the package's
bytes at their places and holes elsewhere, each with what one read needs: some chunks and their leaves.
"""

import os
import stat
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sealcast.agent.ranges import Ranges
from sealcast.core.errors import UsageError
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.header import peek_header
from sealcast.sealpack.layout import GROUP_CHUNKS, PREFIX_BYTES, Layout, read_prefix

PIECE_BYTES = 256 * 1024 * 1024
"""Of a file, what is asked for at once: often enough for a bar that shows how far it is."""

WINDOW_CHUNKS = 64
"""Of the web, 4 MiB: a player begins soon, and the next is fetched while this one is opened."""

FIRST_BYTES = 64 * 1024
"""What is fetched first: the whole header of most packages."""


@dataclass(frozen=True, slots=True)
class Window:
    """A descriptor with all that reading `length` bytes of content from `offset` needs."""

    descriptor: int
    offset: int
    length: int


class PackageSource(Protocol):
    """Where a package's bytes come from."""

    @property
    def head(self) -> int:
        """A descriptor with the package's front, of the package's length; the source's own."""

    def windows(self, offset: int, length: int) -> Generator[Window, None, None]:
        """Yield windows for `length` bytes of content; each is good until the next is asked for."""

    def close(self) -> None:
        """Let go of it."""


class FileSource:
    """A package in a file."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises UsageError."""
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise UsageError(f"{path} is no file: a package is read at several places")

    @property
    def head(self) -> int:
        """The file."""
        return self._descriptor

    def windows(self, offset: int, length: int) -> Generator[Window, None, None]:
        """Yield the file, for one piece after the other; for no content once."""
        yield Window(self._descriptor, offset, min(length, PIECE_BYTES))
        for done in range(PIECE_BYTES, length, PIECE_BYTES):
            yield Window(self._descriptor, offset + done, min(length - done, PIECE_BYTES))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class WebSource:
    """A package at an address, read by ranges; one request at a time, and one ahead."""

    def __init__(self, url: str) -> None:
        """Fetch the front; raises UnreachableError, RefusedError, FormatError, UsageError."""
        self._ranges = Ranges(url)
        first = self._ranges.fetch(0, FIRST_BYTES)
        header_bytes = read_prefix(first[:PREFIX_BYTES])
        first += self._ranges.fetch(len(first), PREFIX_BYTES + header_bytes - len(first))
        header = peek_header(first[PREFIX_BYTES : PREFIX_BYTES + header_bytes])
        self._layout = Layout(header_bytes, header.size)
        first += self._ranges.fetch(len(first), self._layout.leaves_at - len(first))
        self._head = self._memory([(0, first)])

    @property
    def head(self) -> int:
        """A window with the front."""
        return self._head

    def windows(self, offset: int, length: int) -> Generator[Window, None, None]:
        """Yield windows of 4 MiB; the next one is fetched meanwhile."""
        end = offset + length
        first, last = offset // CHUNK_BYTES, min(max(offset, end - 1) // CHUNK_BYTES, self._layout.chunks - 1)
        starts = range(first - first % WINDOW_CHUNKS, last + 1, WINDOW_CHUNKS)
        with ThreadPoolExecutor(1, thread_name_prefix="fetch") as fetching:
            coming = fetching.submit(self._fetch, max(starts[0], first), last)
            for start in starts:
                descriptor = coming.result()
                if start + WINDOW_CHUNKS <= last:
                    coming = fetching.submit(self._fetch, start + WINDOW_CHUNKS, last)
                begin = max(offset, start * CHUNK_BYTES)
                stop = min(end, (start + WINDOW_CHUNKS) * CHUNK_BYTES)
                try:
                    yield Window(descriptor, begin, stop - begin)
                finally:
                    os.close(descriptor)

    def close(self) -> None:
        """Close the connection and the front."""
        self._ranges.close()
        os.close(self._head)

    def _fetch(self, first: int, last: int) -> int:
        """Return a descriptor with the chunks from `first` to the end of its window, at most `last`."""
        layout = self._layout
        last = min(last, first - first % WINDOW_CHUNKS + WINDOW_CHUNKS - 1)
        leaves_at, leaves = layout.leaves_span(first // GROUP_CHUNKS)
        begin, end = layout.chunk_span(first)[0], sum(layout.chunk_span(last))
        hashes, chunks = self._ranges.fetch(leaves_at, leaves), self._ranges.fetch(begin, end - begin)
        return self._memory([(leaves_at, hashes), (begin, chunks)])

    def _memory(self, parts: list[tuple[int, bytes]]) -> int:
        """Return memory that looks like the package where `parts` are."""
        descriptor = os.memfd_create("sealpack", os.MFD_CLOEXEC)
        try:
            # As long as the server says that the file is: the agent compares it with the header.
            os.ftruncate(descriptor, self._ranges.total)
            for offset, data in parts:
                os.pwrite(descriptor, data, offset)
        except OSError as error:
            os.close(descriptor)
            raise UsageError(f"the package does not fit into memory: {error.strerror}") from error
        return descriptor


@contextmanager
def package_source(place: str) -> Generator[PackageSource, None, None]:
    """Open a package by its path or its address; raises UsageError and others as the source does."""
    is_web = place.startswith(("http://", "https://"))
    source: PackageSource = WebSource(place) if is_web else FileSource(Path(place))
    with closing(source):
        yield source
