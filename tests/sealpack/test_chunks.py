"""Shows that a chunk opens in its place only, and that hashes hold every chunk from the root down."""

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.chunks import ChunkCipher, Tree, digest, sealed_bytes, tops_of
from sealcast.sealpack.layout import Layout

KEY = Secret(bytes(range(32)))
ID = bytes(range(100, 116))
CIPHER = ChunkCipher(KEY, ID)


def sealed(chunk: int, content: bytes, *, is_last: bool = False) -> bytes:
    """Return a sealed chunk."""
    into = bytearray(sealed_bytes(len(content)))
    CIPHER.seal(chunk, content, into, is_last=is_last)
    return bytes(into)


def test_as_the_construction_says() -> None:
    """Chunk key and nonce are those of the format, worked out here."""
    key = HKDF(SHA256(), 32, salt=ID, info=b"sealcast chunks 1").derive(KEY.reveal())
    nonce = b"\0\0\0" + (2**33).to_bytes(8, "big") + b"\1"
    assert sealed(2**33, b"content", is_last=True) == AESGCM(key).encrypt(nonce, b"content", None)


def test_a_chunk_comes_back() -> None:
    """What was sealed opens, and an empty chunk is one, too."""
    for content in (b"", b"x", bytes(range(256)) * 256):
        into = bytearray(len(content))
        CIPHER.open(7, sealed(7, content, is_last=True), into, is_last=True)
        assert into == content


def test_it_opens_in_its_place_only() -> None:
    """Under another number, as the last, with another key or package, or with a bit changed, it is shut."""
    token = sealed(7, b"content")
    into = bytearray(7)
    changed = bytes((token[0] ^ 1,)) + token[1:]
    for cipher, chunk, data, is_last in (
        (CIPHER, 8, token, False),
        (CIPHER, 7, token, True),
        (CIPHER, 7, changed, False),
        (ChunkCipher(Secret(bytes(32)), ID), 7, token, False),
        (ChunkCipher(KEY, bytes(16)), 7, token, False),
    ):
        with pytest.raises(AuthenticationError, match=f"chunk {chunk} does not open"):
            cipher.open(chunk, data, into, is_last=is_last)
    with pytest.raises(AuthenticationError):
        CIPHER.open(7, token[:10], bytearray(0), is_last=False)
    with pytest.raises(FormatError, match="32 bytes"):
        ChunkCipher(Secret(b"short"), ID)


def test_hashes_hold_every_chunk() -> None:
    """Tops, leaves and chunks that are not the seller's are refused where they are met."""
    layout = Layout(100, 257 * CHUNK_BYTES)
    chunks = [sealed(chunk, bytes((chunk % 251,)), is_last=chunk == 256) for chunk in range(257)]
    leaves = b"".join(map(digest, chunks))
    tops = tops_of(leaves)
    assert tops == blake3(leaves[:8192]).digest() + blake3(leaves[8192:]).digest()
    tree = Tree(layout, tops, digest(tops))
    tree.check_leaves(0, leaves[:8192])
    tree.check_leaves(1, leaves[8192:])
    tree.check_chunk(3, chunks[3], leaves[:8192])
    tree.check_chunk(256, chunks[256], memoryview(leaves)[8192:])
    with pytest.raises(AuthenticationError, match="chunk 3 is not"):
        tree.check_chunk(3, chunks[4], leaves[:8192])
    with pytest.raises(AuthenticationError, match="chunks from 256"):
        tree.check_leaves(1, leaves[:32])
    with pytest.raises(AuthenticationError, match="chunks from 0"):
        tree.check_leaves(0, leaves[32:8192] + leaves[:32])
    with pytest.raises(AuthenticationError, match="chunks from 0"):
        tree.check_leaves(0, leaves[:8160])
    for wrong in (tops[32:] + tops[:32], tops[:32], tops + bytes(32), b""):
        with pytest.raises(AuthenticationError, match="not those that the seller signed"):
            Tree(layout, wrong, digest(tops))
