"""Shows that a wrapped secret opens only under its master key, kind and name."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret
from sealcast.storage.wrapping import unwrap, wrap

MASTER = Secret(bytes(range(32)))
SECRET = Secret(b"k" * 16 + b"s" * 12)


def hkdf_by_hand(master: bytes, info: bytes) -> bytes:
    """Return HKDF-SHA256 of 32 bytes without salt, straight from RFC 5869."""
    key = hmac.new(bytes(32), master, hashlib.sha256).digest()
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def test_wrapped_secret_opens_again() -> None:
    """What is wrapped comes back, and nothing of it stands in the wrapped form."""
    wrapped = wrap(MASTER, b"tek", b"name", SECRET)
    assert unwrap(MASTER, b"tek", b"name", wrapped) == SECRET
    assert len(wrapped) == 40
    assert b"kkk" not in wrapped


def test_wrapping_follows_its_standards() -> None:
    """An HKDF by hand and the library's AES-KWP open what we wrapped (RFC 5869, RFC 5649)."""
    wrapped = wrap(MASTER, b"tek", b"name", SECRET)
    row_key = hkdf_by_hand(MASTER.reveal(), b"tekname")
    assert aes_key_unwrap_with_padding(row_key, wrapped) == SECRET.reveal()


@pytest.mark.parametrize(
    ("master", "label", "name"),
    [(Secret(bytes(32)), b"tek", b"name"), (MASTER, b"kek", b"name"), (MASTER, b"tek", b"other")],
)
def test_moved_or_foreign_secret_does_not_open(master: Secret, label: bytes, name: bytes) -> None:
    """Another master key, kind or row name refuses, with a line that says what is wrong."""
    wrapped = wrap(MASTER, b"tek", b"name", SECRET)
    with pytest.raises(LocalError, match="not from the same server"):
        unwrap(master, label, name, wrapped)


def test_damaged_secret_does_not_open() -> None:
    """A changed or shortened wrapped secret refuses in the same way."""
    wrapped = wrap(MASTER, b"tek", b"name", SECRET)
    for damaged in (wrapped[:-8], wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b""):
        with pytest.raises(LocalError):
            unwrap(MASTER, b"tek", b"name", damaged)
