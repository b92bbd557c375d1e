"""Owns the chunks of a package: sealed one by one, and a tree of hashes over all of them.

```
K ─ HKDF-SHA256, salt package id, info "sealcast chunks 1" ──► chunk key
chunk i: AES-256-GCM, nonce 0 of 3 bytes ‖ i u64 ‖ (1 for the last, else 0) u8    (STREAM, HRRV 2015)
leaf i = BLAKE3(sealed chunk i)    top g = BLAKE3(its up to 256 leaves)    root = BLAKE3(tops), in the header
```
K is of one package: the number of a chunk never meets another content. Whoever took K out of a device can
seal chunks with it, and still none that has the seller's root.
"""

from collections.abc import Iterable

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.messages.package import DIGEST_BYTES
from sealcast.sealpack.layout import GROUP_CHUNKS, TAG_BYTES, Layout

CONTENT_KEY_BYTES = 32
Buffer = bytes | bytearray | memoryview
_LABEL = b"sealcast chunks 1"


class ChunkCipher:
    """Seals and opens the chunks of one package; may be used by several threads, the GIL is let go."""

    __slots__ = ("_cipher",)

    def __init__(self, content_key: Secret, package_id: bytes) -> None:
        """`content_key` is K, 32 bytes; raises FormatError for another length."""
        if len(content_key) != CONTENT_KEY_BYTES:
            raise FormatError(f"a content key has {CONTENT_KEY_BYTES} bytes, not {len(content_key)}")
        derive = HKDF(SHA256(), CONTENT_KEY_BYTES, salt=package_id, info=_LABEL)
        self._cipher = AESGCM(derive.derive(content_key.reveal()))

    def seal(self, chunk: int, plaintext: Buffer, into: bytearray | memoryview, *, is_last: bool) -> None:
        """Write ciphertext and tag of a chunk into a buffer of exactly their length."""
        self._cipher.encrypt_into(_nonce(chunk, is_last=is_last), plaintext, None, into)

    def open(self, chunk: int, sealed: Buffer, into: bytearray | memoryview, *, is_last: bool) -> None:
        """Write the content of a chunk into a buffer of exactly its length.

        Raises AuthenticationError, and then what stands in the buffer is not to be given out.
        """
        try:
            self._cipher.decrypt_into(_nonce(chunk, is_last=is_last), sealed, None, into)
        except (InvalidTag, ValueError) as error:
            raise AuthenticationError(f"chunk {chunk} does not open with the content key") from error


class Tree:
    """The hashes of one package, verified from the root down: tops are kept, leaves checked as they come."""

    __slots__ = ("_layout", "_tops")

    def __init__(self, layout: Layout, tops: Buffer, root: bytes) -> None:
        """Keep `tops`; raises AuthenticationError unless they are those that the header's root stands for."""
        if len(tops) != layout.groups * DIGEST_BYTES or digest(tops) != root:
            raise AuthenticationError("the package's hashes are not those that the seller signed")
        self._layout, self._tops = layout, bytes(tops)

    def check_leaves(self, group: int, leaves: Buffer) -> None:
        """Raise AuthenticationError unless these are the leaves of a group of chunks."""
        at = group * DIGEST_BYTES
        if (
            len(leaves) != self._layout.leaves_span(group)[1]
            or digest(leaves) != self._tops[at : at + DIGEST_BYTES]
        ):
            raise AuthenticationError(
                f"the hashes of chunks from {group * GROUP_CHUNKS} are not those that the seller signed"
            )

    def check_chunk(self, chunk: int, sealed: Buffer, leaves: Buffer) -> None:
        """Raise AuthenticationError unless a sealed chunk is the seller's; `leaves`: checked, its group's."""
        at = chunk % GROUP_CHUNKS * DIGEST_BYTES
        if digest(sealed) != bytes(leaves[at : at + DIGEST_BYTES]):
            raise AuthenticationError(f"chunk {chunk} is not the one that the seller signed")


def digest(data: Buffer) -> bytes:
    """Return BLAKE3 of 32 bytes: of a sealed chunk its leaf; 25 µs for one, without the GIL."""
    return bytes(blake3(data).digest())


def tops_of(leaves: Buffer) -> bytes:
    """Return the tops of all leaves of a package, or of whole groups of them."""
    step = GROUP_CHUNKS * DIGEST_BYTES
    return b"".join(_groups(leaves, step))


def _groups(leaves: Buffer, step: int) -> Iterable[bytes]:
    view = memoryview(leaves)
    return (digest(view[at : at + step]) for at in range(0, len(view), step))


def sealed_bytes(content: int) -> int:
    """Return how long a chunk is, sealed."""
    return content + TAG_BYTES


def _nonce(chunk: int, *, is_last: bool) -> bytes:
    return bytes(3) + chunk.to_bytes(8, "big") + bytes((is_last,))
