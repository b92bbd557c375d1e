"""Owns reading a package file at any place: its header, then chunks that are verified one by one.

In memory stand the tops, 32 bytes for 16 MiB, and one group's leaves, 8 KiB. A file that is longer or shorter
than its header says is refused when it is opened.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sealcast.core.errors import FormatError, UsageError
from sealcast.messages.package import CHUNK_BYTES, DIGEST_BYTES, PackageHeader
from sealcast.sealpack.chunks import ChunkCipher, Tree
from sealcast.sealpack.header import CheckedHeader, peek_header, read_header
from sealcast.sealpack.layout import GROUP_CHUNKS, PREFIX_BYTES, SEALED_BYTES, Layout, read_prefix
from sealcast.sealpack.workers import Progress, in_groups

SEGMENT_CHUNKS = 16
"""Chunks that are read at once by `verify`, 1 MiB."""


class PackageFile:
    """An open package whose header nobody vouches for yet: `peek` is what it says, `believe` checks it.

    Used in a `with`, which closes the file; the descriptor may also be given, and is closed likewise.
    """

    def __init__(self, path: Path | int) -> None:
        """Open a package; raises UsageError where it cannot be read, FormatError for what is none."""
        try:
            self.descriptor = path if isinstance(path, int) else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        try:
            self.token = self._header()
            self.peek: PackageHeader = peek_header(self.token)
            self.layout = Layout(len(self.token), self.peek.size)
            self._check_length()
        except OSError as error:
            os.close(self.descriptor)
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except BaseException:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def believe(self, ca_pem: str) -> CheckedHeader:
        """Return the header, checked under the operator's CA; raises as `read_header`."""
        return read_header(self.token, ca_pem)

    def tree(self, header: CheckedHeader | PackageHeader) -> Tree:
        """Return the package's hashes under a header's root.

        Raises AuthenticationError if they are not those that the seller signed.
        """
        root = header.root if isinstance(header, PackageHeader) else header.header.root
        return Tree(self.layout, self._read(self.layout.tops_at, self.layout.groups * DIGEST_BYTES), root)

    def verify(self, header: CheckedHeader | PackageHeader, progress: Progress | None = None) -> int:
        """Check every chunk against the header's root, without any key, and return how many there are.

        `progress` is told how many groups of 16 MiB are done. Raises AuthenticationError naming the first
        chunk that is not the seller's.
        """
        tree = self.tree(header)

        def make() -> Callable[[int], None]:
            return _Verifier(self, tree).verify

        in_groups(self.layout.groups, make, progress)
        return self.layout.chunks

    def read_into(self, into: memoryview, at: int) -> None:
        """Fill a buffer with what stands at an offset; raises FormatError where the file has become short."""
        filled = 0
        while filled < len(into):
            count = os.preadv(self.descriptor, [into[filled:]], at + filled)
            if not count:
                raise FormatError("the package has become shorter while it was read")
            filled += count

    def _header(self) -> str:
        prefix = os.pread(self.descriptor, PREFIX_BYTES, 0)
        token = os.pread(self.descriptor, read_prefix(prefix), PREFIX_BYTES)
        if len(token) != read_prefix(prefix):
            raise FormatError("the package ends within its header: it is not all there")
        try:
            return token.decode("ascii")
        except UnicodeDecodeError as error:
            raise FormatError("the package's header is not ASCII") from error

    def _check_length(self) -> None:
        length, total = os.fstat(self.descriptor).st_size, self.layout.total
        if length < total:
            raise FormatError(f"the package is not all there: {length} bytes of {total}")
        if length > total:
            raise FormatError(f"the package has {length - total} bytes more than its header says")

    def _read(self, at: int, size: int) -> bytes:
        into = bytearray(size)
        self.read_into(memoryview(into), at)
        return bytes(into)


class ContentReader:
    """Gives the content of a package, verified, from any place; for one thread. The last group is kept."""

    def __init__(self, package: PackageFile, header: CheckedHeader, cipher: ChunkCipher) -> None:
        """`cipher` is of the package's content key; raises AuthenticationError for hashes of another."""
        self._package, self._cipher, self._layout = package, cipher, package.layout
        self._tree = package.tree(header)
        self._sealed, self._plain = bytearray(SEALED_BYTES), bytearray(CHUNK_BYTES)
        self._group, self._leaves = -1, b""

    def chunk(self, number: int) -> memoryview:
        """Return a chunk's content, to be used before the next is asked for.

        Raises AuthenticationError, and gives nothing, if its leaf or its tag does not verify.
        """
        at, size = self._layout.chunk_span(number)
        sealed = memoryview(self._sealed)[:size]
        self._package.read_into(sealed, at)
        self._tree.check_chunk(number, sealed, self._leaves_of(number // GROUP_CHUNKS))
        plain = memoryview(self._plain)[: self._layout.content_bytes(number)]
        self._cipher.open(number, sealed, plain, is_last=self._layout.is_last(number))
        return plain

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of content from `offset`; fewer only at its end. Raises as `chunk`."""
        found = bytearray()
        end = min(offset + length, self._layout.size)
        while offset < end:
            number, skip = divmod(offset, CHUNK_BYTES)
            piece = self.chunk(number)[skip : skip + end - offset]
            found += piece
            offset += len(piece)
        return bytes(found)

    def _leaves_of(self, group: int) -> bytes:
        if group != self._group:
            self._leaves = read_leaves(self._package, self._tree, group)
            self._group = group
        return self._leaves


def read_leaves(package: PackageFile, tree: Tree, group: int) -> bytes:
    """Return the leaves of a group, verified; raises AuthenticationError."""
    at, size = package.layout.leaves_span(group)
    into = bytearray(size)
    package.read_into(memoryview(into), at)
    tree.check_leaves(group, into)
    return bytes(into)


class _Verifier:
    """One thread's part of `verify`."""

    def __init__(self, package: PackageFile, tree: Tree) -> None:
        self._package, self._tree = package, tree
        self._buffer = memoryview(bytearray(SEGMENT_CHUNKS * SEALED_BYTES))

    def verify(self, group: int) -> None:
        """Check the chunks of a group; raises AuthenticationError."""
        layout, leaves = self._package.layout, read_leaves(self._package, self._tree, group)
        first, count = group * GROUP_CHUNKS, layout.group_chunks(group)
        for chunk in range(first, first + count, SEGMENT_CHUNKS):
            last = min(chunk + SEGMENT_CHUNKS, first + count) - 1
            start, (at, size) = layout.chunk_span(chunk)[0], layout.chunk_span(last)
            segment = self._buffer[: at + size - start]
            self._package.read_into(segment, start)
            for number in range(chunk, last + 1):
                begin, length = layout.chunk_span(number)
                self._tree.check_chunk(number, segment[begin - start : begin - start + length], leaves)
