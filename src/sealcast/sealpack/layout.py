"""Owns where everything stands in a package file: sizes and offsets, from the length of header and content.

```
0          "SEALPACK"
8          version u16 = 1 ‖ 0 u16 ‖ header length u32
16         header: JWS by the seller (`messages.package.PackageHeader`)
tops_at    32 bytes for each group of 256 chunks
leaves_at  32 bytes for each chunk
chunks_at  chunks: 65,536 bytes of content, the last one what is left, each with a tag of 16
```
Content of 0 bytes is one chunk of 0 bytes. Numbers are big-endian; the file ends with the last chunk.
"""

import struct
from dataclasses import dataclass

from sealcast.core.errors import FormatError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.messages.package import CHUNK_BYTES, DIGEST_BYTES, SIZE_MAX, VERSION

MAGIC = b"SEALPACK"
PREFIX_BYTES = 16
TAG_BYTES = 16
GROUP_CHUNKS = 256
"""Chunks for each top: a reader keeps 32 bytes for 16 MiB, and reads 8 KiB of leaves when it comes there."""

SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
HEADER_BYTES_MAX = MESSAGE_BYTES_MAX
_PREFIX = struct.Struct(">8sHHI")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand in a package whose header has `header_bytes` and whose content `size` bytes."""

    header_bytes: int
    size: int

    def __post_init__(self) -> None:
        if not 0 <= self.size <= SIZE_MAX or not 0 < self.header_bytes <= HEADER_BYTES_MAX:
            raise FormatError("a package of such a size is not made")

    @property
    def chunks(self) -> int:
        """How many chunks there are, 1 at least."""
        return max(1, -(-self.size // CHUNK_BYTES))

    @property
    def groups(self) -> int:
        """How many tops there are."""
        return -(-self.chunks // GROUP_CHUNKS)

    @property
    def tops_at(self) -> int:
        """Where the tops begin."""
        return PREFIX_BYTES + self.header_bytes

    @property
    def leaves_at(self) -> int:
        """Where the leaves begin."""
        return self.tops_at + DIGEST_BYTES * self.groups

    @property
    def chunks_at(self) -> int:
        """Where the sealed chunks begin."""
        return self.leaves_at + DIGEST_BYTES * self.chunks

    @property
    def total(self) -> int:
        """How long the whole file is, exactly."""
        return self.chunks_at + self.size + TAG_BYTES * self.chunks

    def is_last(self, chunk: int) -> bool:
        """Whether nothing follows a chunk."""
        return chunk == self.chunks - 1

    def content_bytes(self, chunk: int) -> int:
        """Return how many bytes of content a chunk has; IndexError for one that is not there."""
        if not 0 <= chunk < self.chunks:
            raise IndexError(chunk)
        return self.size - chunk * CHUNK_BYTES if self.is_last(chunk) else CHUNK_BYTES

    def chunk_span(self, chunk: int) -> tuple[int, int]:
        """Return offset and length of a sealed chunk in the file."""
        return self.chunks_at + chunk * SEALED_BYTES, self.content_bytes(chunk) + TAG_BYTES

    def group_chunks(self, group: int) -> int:
        """Return how many chunks a group has."""
        return min(GROUP_CHUNKS, self.chunks - group * GROUP_CHUNKS)

    def leaves_span(self, group: int) -> tuple[int, int]:
        """Return offset and length of a group's leaves in the file."""
        return (
            self.leaves_at + group * GROUP_CHUNKS * DIGEST_BYTES,
            self.group_chunks(group) * DIGEST_BYTES,
        )


def pack_prefix(header_bytes: int) -> bytes:
    """Return the 16 bytes before the header."""
    return _PREFIX.pack(MAGIC, VERSION, 0, header_bytes)


def read_prefix(data: bytes) -> int:
    """Return how long the header is that follows these 16 bytes; raises FormatError."""
    if len(data) != PREFIX_BYTES or not data.startswith(MAGIC):
        raise FormatError("not a package: it does not begin as one")
    _, version, reserved, header_bytes = _PREFIX.unpack(data)
    if (version, reserved) != (VERSION, 0):
        raise FormatError(f"a package of version {version}, and this program reads version {VERSION}")
    if not 0 < header_bytes <= HEADER_BYTES_MAX:
        raise FormatError(f"a package's header has at most {HEADER_BYTES_MAX} bytes, not {header_bytes}")
    return int(header_bytes)
