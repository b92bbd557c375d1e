"""Keys in JSON: algorithms, halves, and nothing secret in sight."""

import gc
import weakref
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from sealcast.core.errors import FormatError
from sealcast.core.ports import Random
from sealcast.messages import jwk
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.jwk import (
    Jwk,
    jose_key,
    jwk_of,
    native_private_key,
    native_public_key,
    new_oct_key,
    new_p256_pair,
    new_rsa_pair,
    new_sealing_pair,
    new_signing_pair,
)
from sealcast.testing import SimRandom

RANDOM = SimRandom(1)
OCT, SIGNING, SEALING = new_oct_key(RANDOM), new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
P256, RSA = new_p256_pair(RANDOM), new_rsa_pair()
ALL = pytest.mark.parametrize(
    "key", [OCT, SIGNING, SEALING, P256, RSA], ids=["oct", "Ed25519", "X25519", "P-256", "RSA"]
)


@ALL
def test_repr_shows_no_secret(key: Jwk) -> None:
    """Neither `k` nor `d` appears when a key is printed or logged."""
    secret = key.k or key.d
    assert secret
    for text in (repr(key), str(key), f"{key}", f"{[key]}"):
        assert secret not in text
        assert not any(part in text for part in (key.p, key.q, key.dp, key.dq, key.qi) if part)


@ALL
def test_json_round_trip(key: Jwk) -> None:
    """A key comes back from its JSON, and the library takes it."""
    assert decode(encode(key), Jwk) == key
    jose_key(key)


def test_algorithms() -> None:
    """The kind of key alone says what it is for."""
    assert (OCT.signing_algorithm, OCT.sealing_algorithm) == ("HS256", "A256KW")
    assert SIGNING.signing_algorithm == "Ed25519"
    assert SEALING.sealing_algorithm == "ECDH-ES+A256KW"
    assert (P256.signing_algorithm, P256.sealing_algorithm) == ("ES256", "ECDH-ES+A256KW")
    assert RSA.sealing_algorithm == "RSA-OAEP-256"
    with pytest.raises(FormatError, match="cannot sign"):
        _ = RSA.signing_algorithm
    with pytest.raises(FormatError, match="cannot sign"):
        _ = SEALING.signing_algorithm
    with pytest.raises(FormatError, match="cannot receive"):
        _ = SIGNING.sealing_algorithm


@pytest.mark.parametrize("key", [SIGNING, SEALING, P256, RSA], ids=["Ed25519", "X25519", "P-256", "RSA"])
def test_pairs_travel_to_certificates_and_back(key: Jwk) -> None:
    """A pair and its public half are the same after a way through the library that makes certificates."""
    assert jwk_of(native_private_key(key)) == key
    assert jwk_of(native_public_key(key)) == key.public() == jwk_of(native_public_key(key.public()))
    assert key.is_secret
    assert not key.public().is_secret
    with pytest.raises(FormatError, match="no private half"):
        native_private_key(key.public())


def test_kinds_that_are_not_used_here() -> None:
    """Other curves, and keys without halves, are refused."""
    with pytest.raises(FormatError, match="not a key of a kind"):
        jwk_of(ed448.Ed448PrivateKey.generate().public_key())
    with pytest.raises(FormatError):
        jwk_of(ec.generate_private_key(ec.SECP384R1()).public_key())
    with pytest.raises(FormatError, match="no public half"):
        native_public_key(OCT)


@pytest.mark.parametrize("key", [SIGNING, SEALING], ids=["Ed25519", "X25519"])
def test_public_half(key: Jwk) -> None:
    """The public half holds the public bytes only."""
    public = key.public()
    assert (public.d, public.k, public.x) == (None, None, key.x)
    assert (key.is_secret, public.is_secret) == (True, False)
    assert len(public.raw_public()) == len(key.raw_private()) == 32
    with pytest.raises(FormatError, match="no private half"):
        public.raw_private()


def test_a_symmetric_key_has_no_public_half() -> None:
    """Giving it away by mistake is refused."""
    assert OCT.is_secret
    with pytest.raises(FormatError):
        OCT.public()


@pytest.mark.parametrize(
    "wrong",
    [
        Jwk(kty="oct"),
        Jwk(kty="oct", k=""),
        Jwk(kty="oct", k="AAAA"),
        Jwk(kty="oct", k="!" * 43),
        Jwk(kty="OKP"),
        Jwk(kty="OKP", crv="Ed25519"),
        Jwk(kty="OKP", crv="Ed25519", x="AAAA"),
        Jwk(kty="OKP", crv="X25519", x="A" * 43, d="AAAA"),
        Jwk(kty="OKP", crv="P-256", x=P256.x),
        Jwk(kty="EC", crv="P-256", x=P256.x),
        Jwk(kty="EC", crv="P-256", x=P256.x, y=P256.x),
        Jwk(kty="EC", crv="Ed25519", x=P256.x, y=P256.y),
        Jwk(kty="RSA"),
        Jwk(kty="RSA", n=b64url_encode(b"\xff" * 256), e="AQAB"),
    ],
    ids=[
        "no k",
        "empty k",
        "short k",
        "junk k",
        "no curve",
        "no x",
        "short x",
        "short d",
        "OKP with another curve",
        "no y",
        "off the curve",
        "EC with another curve",
        "no n",
        "2,048 bits",
    ],
)
def test_unusable_keys_are_refused(wrong: Jwk) -> None:
    """A key of another length than its algorithm's is no key: a short HMAC key could be guessed."""
    with pytest.raises(FormatError):
        jose_key(wrong)


@pytest.mark.parametrize(
    "json", [b'{"kty":"DSA"}', b'{"kty":"EC","crv":"P-384"}', b'{"kty":"oct","alg":"none"}']
)
def test_other_kinds_are_refused(json: bytes) -> None:
    """Unknown kinds, curves and fields do not come in."""
    with pytest.raises(FormatError):
        decode(json, Jwk)


FRESH = pytest.mark.parametrize(
    "make", [new_oct_key, new_signing_pair, new_sealing_pair, new_p256_pair], ids=lambda make: make.__name__
)


@FRESH
def test_a_built_key_is_kept_as_long_as_its_owner(make: Callable[[Random], Jwk]) -> None:
    """The library's form is made once for a key and its equals, and goes when the key goes."""
    key = make(SimRandom(29))
    built = weakref.ref(jose_key(key))
    assert jose_key(key) is jose_key(decode(encode(key), Jwk)) is built()
    del key
    gc.collect()
    assert built() is None


def test_another_key_of_the_same_owner_is_another() -> None:
    """What is kept goes by all of a key: neither a pair and its half nor two secrets are confused."""
    pair, secret = new_signing_pair(RANDOM), new_oct_key(RANDOM)
    assert (jose_key(pair).is_private, jose_key(pair.public()).is_private) == (True, False)
    assert jose_key(secret).as_dict(private=True)["k"] == secret.k
    assert jose_key(new_oct_key(RANDOM)).as_dict(private=True)["k"] != secret.k


def test_built_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many kept as there may be, another is built each time and not kept."""
    monkeypatch.setattr(jwk, "BUILT_MAX", 0)
    key = new_oct_key(RANDOM)
    first = jose_key(key)
    assert first is not jose_key(key)
    assert first.as_dict(private=True) == jose_key(key).as_dict(private=True)
