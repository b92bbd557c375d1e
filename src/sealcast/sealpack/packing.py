"""Owns making a package from a file: in constant memory, on several threads, whole or not at all.

Reading, sealing, hashing and writing all let go of the GIL, so that each thread has a core to itself.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.jwk import HeldPair, Jwk
from sealcast.messages.package import (
    CHUNK_BYTES,
    DIGEST_BYTES,
    PACKAGE_ID_BYTES,
    SIZE_MAX,
    VERSION,
    PackageEscrow,
    PackageHeader,
)
from sealcast.sealpack.chunks import CONTENT_KEY_BYTES, ChunkCipher, digest
from sealcast.sealpack.escrowkeys import EscrowKey, read_escrow_key
from sealcast.sealpack.header import CheckedHeader, check_name, read_header, sign_header
from sealcast.sealpack.layout import GROUP_CHUNKS, PREFIX_BYTES, SEALED_BYTES, TAG_BYTES, Layout, pack_prefix
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.sharing import key_commitment, parts_for_escrows
from sealcast.sealpack.workers import Progress, in_groups

READ_CHUNKS, WRITTEN_CHUNKS = 4, 16
"""Chunks to a call: 256 KiB of content are still in a core's cache when they are sealed; 1 MiB goes out."""


@dataclass(frozen=True, slots=True)
class Seller:
    """Who packs: its id, operator, certificates and signing key, and the CA that readers trust."""

    id: str
    operator: str
    certificates: Certificates
    signing: Jwk | HeldPair
    ca_pem: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a package says of its content and by which escrows it is opened."""

    title: str
    name: str
    media_type: str
    escrows: tuple[PackageEscrow, ...]
    threshold: int
    is_licensed: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """All of a package but its content: the header without a root, and K."""

    checked: CheckedHeader
    content_key: Secret
    seller: Seller

    @property
    def header(self) -> PackageHeader:
        """The header, whose root is still 0."""
        return self.checked.header


def draft(terms: Terms, size: int, seller: Seller, random: Random, now_ms: int) -> Draft:
    """Return a package's header, with a fresh id and content key, for `size` bytes of content.

    Raises AuthenticationError or FormatError for what no reader would believe: a key of another seller, a
    threshold that the escrows cannot reach, a title or name that does not print.
    """
    package_id, content_key = random.bytes(PACKAGE_ID_BYTES), Secret(random.bytes(CONTENT_KEY_BYTES))
    keys: list[EscrowKey] = [read_escrow_key(each, seller.ca_pem) for each in terms.escrows]
    check_name(terms.name)
    parts = []
    if not terms.is_licensed:
        parts = parts_for_escrows(content_key, package_id, keys, threshold=terms.threshold, random=random)
    header = PackageHeader(
        version=VERSION,
        id=b64url_encode(package_id),
        title=terms.title,
        name=terms.name,
        media_type=terms.media_type,
        size=size,
        chunk_bytes=CHUNK_BYTES,
        root=bytes(DIGEST_BYTES),
        seller=seller.id,
        operator=seller.operator,
        certificates=seller.certificates,
        created_at_ms=now_ms,
        escrows=list(terms.escrows),
        threshold=terms.threshold,
        parts=parts,
        key_commitment=key_commitment(content_key, package_id),
    )
    # Read as a buyer will: what nobody would believe is found before a byte is written.
    return Draft(read_header(sign_header(header, seller.signing), seller.ca_pem), content_key, seller)


def content_size(source: Path) -> int:
    """Return how many bytes a file to be packed has; raises UsageError for what is none."""
    try:
        found = source.stat()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{source} is not a file; what is packed has a length and is read in any order")
    if found.st_size > SIZE_MAX:
        raise UsageError(f"{source} has {found.st_size} bytes, and a package takes {SIZE_MAX}")
    return found.st_size


def write_package(made: Draft, source: Path, target: NewFile, progress: Progress | None = None) -> str:
    """Write a package of a file's content, and return its signed header; `target` is still to be kept.

    `progress` is told how many groups of 16 MiB are done. Memory is 1.3 MiB for each thread and 32 bytes for
    each group. Raises UsageError for content that cannot be read, changes meanwhile or has another length
    than the draft, or a target that takes no more.
    """
    layout = made.checked.layout
    target.check_room(layout.total)
    with _Content(source, layout.size) as content:
        cipher = ChunkCipher(made.content_key, made.checked.package_id)
        tops = bytearray(layout.groups * DIGEST_BYTES)

        def make() -> Callable[[int], None]:
            return _Sealer(content, target, layout, cipher, tops).seal

        in_groups(layout.groups, make, progress)
        content.check_unchanged()
    token = sign_header(replace(made.header, root=digest(tops)), made.seller.signing)
    if len(token) != layout.header_bytes:
        raise LocalError("the signed header has another length than it had without its root")
    target.write_at(pack_prefix(len(token)) + token.encode(), 0)
    target.write_at(tops, PREFIX_BYTES + len(token))
    return token


class _Content:
    """The file that is packed, and whether it is still what it was."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from error
        self._was = self._state()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read_into(self, into: memoryview, at: int) -> None:
        """Fill a buffer with what stands at an offset; raises UsageError where the file has ended."""
        filled = 0
        try:
            while filled < len(into):
                count = os.preadv(self._descriptor, [into[filled:]], at + filled)
                if not count:
                    raise self._changed()
                filled += count
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from error

    def check_unchanged(self) -> None:
        """Raise UsageError if the file was written to, or is not as long as it was said."""
        if self._state() != self._was or self._was[0] != self._size:
            raise self._changed()

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def _changed(self) -> UsageError:
        return UsageError(f"{self._path} changed while it was packed; nothing was written")


class _Sealer:
    """One thread's part: seals groups of chunks, and notes their top."""

    def __init__(
        self, content: _Content, target: NewFile, layout: Layout, cipher: ChunkCipher, tops: bytearray
    ) -> None:
        self._content, self._target, self._layout = content, target, layout
        self._cipher, self._tops = cipher, tops
        self._content_read = memoryview(bytearray(READ_CHUNKS * CHUNK_BYTES))
        self._sealed = memoryview(bytearray(WRITTEN_CHUNKS * SEALED_BYTES))
        self._leaves = bytearray(GROUP_CHUNKS * DIGEST_BYTES)

    def seal(self, group: int) -> None:
        """Write a group's chunks and leaves; raises as `write_package`."""
        first, count = group * GROUP_CHUNKS, self._layout.group_chunks(group)
        end = first + count
        for start in range(first, end, WRITTEN_CHUNKS):
            filled = 0
            stop = min(start + WRITTEN_CHUNKS, end)
            for chunk in range(start, stop, READ_CHUNKS):
                filled = self._seal_some(chunk, min(READ_CHUNKS, stop - chunk), filled)
            self._target.write_at(self._sealed[:filled], self._layout.chunk_span(start)[0])
        at, size = self._layout.leaves_span(group)
        leaves = memoryview(self._leaves)[:size]
        self._target.write_at(leaves, at)
        self._tops[group * DIGEST_BYTES : (group + 1) * DIGEST_BYTES] = digest(leaves)

    def _seal_some(self, first: int, count: int, filled: int) -> int:
        """Read and seal `count` chunks, to stand behind `filled` bytes; returns how many are filled then."""
        layout, start = self._layout, first * CHUNK_BYTES
        content = self._content_read[: min(count * CHUNK_BYTES, layout.size - start)]
        self._content.read_into(content, start)
        for chunk in range(first, first + count):
            begin = (chunk - first) * CHUNK_BYTES
            piece = content[begin : begin + CHUNK_BYTES]
            sealed = self._sealed[filled : filled + len(piece) + TAG_BYTES]
            self._cipher.seal(chunk, piece, sealed, is_last=layout.is_last(chunk))
            at = chunk % GROUP_CHUNKS * DIGEST_BYTES
            self._leaves[at : at + DIGEST_BYTES] = digest(sealed)
            filled += len(sealed)
        return filled
