"""Owns an open package inside the agent: its verified hashes, the cipher of its chunks, and their end.

A session is opened with the content key and keeps what follows from it, as long as its connection lives and
the device is there. It has no descriptor: each read brings its own source.
"""

import os
from dataclasses import dataclass

from sealcast.core.errors import FormatError, RefusedError
from sealcast.core.secret import Secret
from sealcast.sealpack.chunks import ChunkCipher, Tree
from sealcast.sealpack.header import CheckedHeader, read_header
from sealcast.sealpack.layout import PREFIX_BYTES, Layout, read_prefix

ENDED = "detached"


@dataclass(frozen=True, slots=True)
class Head:
    """The front of a package as a descriptor has it: the header, believed, and the tops of its hashes."""

    header: CheckedHeader
    tree: Tree
    layout: Layout


class OpenPackage:
    """A package that is open for reading; several threads may use it. `end` takes the key away."""

    def __init__(self, head: Head, digest: str, order: str, content_key: Secret) -> None:
        """`content_key` is erased: what is kept is the key of the chunks."""
        self.header, self.tree, self.layout = head.header, head.tree, head.layout
        self.digest, self.order = digest, order
        self._cipher: ChunkCipher | None = ChunkCipher(content_key, head.header.package_id)
        content_key.erase()

    def __repr__(self) -> str:
        return f"OpenPackage({self.header.header.id})"

    @property
    def cipher(self) -> ChunkCipher:
        """What opens its chunks; raises RefusedError once the session has ended."""
        cipher = self._cipher
        if cipher is None:
            raise RefusedError(ENDED, "the session has ended: the device was taken away")
        return cipher

    @property
    def is_open(self) -> bool:
        """Whether chunks can be opened still."""
        return self._cipher is not None

    def end(self) -> None:
        """Drop the key; reads that run stop at their next segment. May be called again."""
        self._cipher = None

    def read_leaves(self, source: int, group: int) -> bytes:
        """Return a group's leaves, verified; raises FormatError, AuthenticationError."""
        offset, length = self.layout.leaves_span(group)
        leaves = read_at(source, offset, length, "its hashes")
        self.tree.check_leaves(group, leaves)
        return leaves


def read_token(source: int) -> str:
    """Return the header's JWS at the front of a package, believed by nobody; raises FormatError."""
    length = read_prefix(read_at(source, 0, PREFIX_BYTES, "its first bytes"))
    try:
        return read_at(source, PREFIX_BYTES, length, "its header").decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError("the package's header is not ASCII") from error


def read_head(source: int, token: str, ca_pem: str) -> Head:
    """Return a package's front, verified from the signature to the tops.

    Raises AuthenticationError for what the seller did not sign, FormatError for a file that is shorter or
    longer than its header says.
    """
    header = read_header(token, ca_pem)
    layout = header.layout
    length = os.fstat(source).st_size
    if length != layout.total:
        how = "cut short" if length < layout.total else "longer than it was made"
        raise FormatError(f"the package is {how}: {length} bytes, and its header says {layout.total}")
    tops = read_at(source, layout.tops_at, layout.leaves_at - layout.tops_at, "its hashes")
    return Head(header, Tree(layout, tops, header.header.root), layout)


def read_at(source: int, offset: int, length: int, what: str) -> bytes:
    """Return exactly `length` bytes at a place of a file; raises FormatError naming what ends too early."""
    data = bytearray(length)
    read_into(source, offset, memoryview(data), what)
    return bytes(data)


def read_into(source: int, offset: int, into: memoryview, what: str) -> None:
    """Fill a buffer from a place of a file; raises FormatError."""
    done = 0
    while done < len(into):
        try:
            count = os.preadv(source, [into[done:]], offset + done)
        except OSError as error:
            raise FormatError(f"the package cannot be read at {what}: {error.strerror}") from error
        if count == 0:
            raise FormatError(f"the package ends before {what} does")
        done += count
