"""Shows that libsodium and OpenSSL take each other's place: same signatures, same secrets, same noes."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.device.heldkeys import KeptKey
from sealcast.messages import curve25519
from sealcast.messages.curve25519 import Ed25519, agree_anew, sodium
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.jwk import HeldPair, Jwk
from sealcast.messages.keytools import signing_tool

SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
MESSAGE = b"\x72"
"""RFC 8032, section 7.1, test 2."""

KEY = Ed25519PrivateKey.from_private_bytes(SECRET)


def by_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have libsodium away."""
    monkeypatch.setattr(curve25519, "sodium", lambda: None)


def test_libsodium_is_there() -> None:
    """These tests compare two libraries, so both have to be there."""
    assert sodium() is not None


@pytest.mark.parametrize("is_away", [False, True])
def test_the_vector_of_the_rfc(monkeypatch: pytest.MonkeyPatch, is_away: bool) -> None:  # noqa: FBT001 - a table's column
    """Either library makes this signature, and verifies it; none of its halves signs without a secret."""
    if is_away:
        by_openssl(monkeypatch)
    assert Ed25519(KEY).sign(MESSAGE) == SIGNATURE
    assert Ed25519(KEY.public_key()).verify(SIGNATURE, MESSAGE)
    assert not Ed25519(KEY.public_key()).verify(SIGNATURE, MESSAGE + b"\x00")
    with pytest.raises(FormatError, match="no private half"):
        Ed25519(KEY.public_key()).sign(MESSAGE)


class Elsewhere(KeptKey, Ed25519PrivateKey):
    """A key whose private half is elsewhere, as an agent's is for its clients."""

    place = "the test"

    def sign(self, data: bytes) -> bytes:
        """Sign there."""
        return KEY.sign(data)

    def public_key(self) -> Ed25519PublicKey:
        """Return the public half."""
        return KEY.public_key()


def test_a_key_that_is_elsewhere_signs_there() -> None:
    """Its private half is not asked for, with libsodium or without it."""
    public = Jwk(kty="OKP", crv="Ed25519", x=b64url_encode(KEY.public_key().public_bytes_raw()))
    tool = signing_tool(HeldPair(public, Elsewhere()))
    assert tool.sign(MESSAGE) == SIGNATURE
    assert tool.verify(SIGNATURE, MESSAGE)


@settings(max_examples=30)
@given(st.binary(max_size=200), st.integers(0, 63), st.integers(1, 255))
def test_both_say_the_same(data: bytes, place: int, change: int) -> None:
    """A signature by one is good for the other; one with a byte changed is good for none."""
    signature = KEY.sign(data)
    tool = Ed25519(KEY)
    assert tool.sign(data) == signature
    assert tool.verify(signature, data)
    forged = bytearray(signature)
    forged[place] ^= change
    assert not tool.verify(bytes(forged), data)


def test_no_length_but_one() -> None:
    """What is cut off a signature, or put behind it, is not taken from the message, or given to it."""
    tool = Ed25519(KEY)
    assert not tool.verify(SIGNATURE + MESSAGE, b"")
    assert not tool.verify(SIGNATURE[:-1], SIGNATURE[-1:] + MESSAGE)
    assert not tool.verify(b"", SIGNATURE + MESSAGE)


@pytest.mark.parametrize("is_away", [False, True])
def test_a_fresh_agreement(monkeypatch: pytest.MonkeyPatch, is_away: bool) -> None:  # noqa: FBT001 - as above
    """The other side comes to the same secret; each time the key is another; a weak key agrees on nothing."""
    if is_away:
        by_openssl(monkeypatch)
    theirs = X25519PrivateKey.from_private_bytes(SECRET)
    public = theirs.public_key()
    made = [agree_anew(public, public.public_bytes_raw()) for _ in range(2)]
    for mine, secret in made:
        assert theirs.exchange(X25519PublicKey.from_public_bytes(mine)) == secret
    assert made[0] != made[1]
    weak = X25519PublicKey.from_public_bytes(bytes(32))
    with pytest.raises(ValueError):  # noqa: PT011 - either library has its own words
        agree_anew(weak, bytes(32))
