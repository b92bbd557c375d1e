"""Our signed and sealed messages against a library for all of JOSE: each takes what the other makes."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import jose
from sealcast.messages.compact import decode_part, encode_part
from sealcast.messages.encoding import b64url_decode, b64url_encode
from sealcast.messages.jwk import HeldPair, Jwk, jose_key, native_key
from sealcast.testing import SimRandom

RANDOM = SimRandom(2)
PAIRS = {kind: new_keys(kind, RANDOM) for kind in KeyKind}
SIGNERS = [PAIRS[kind][0] for kind in (KeyKind.SYMMETRIC, KeyKind.ED25519, KeyKind.P256)]
RECIPIENTS = [pair[1] for pair in PAIRS.values()]
TYP = jose.TYP_REQUEST
PAYLOADS = st.binary(max_size=600)
KIDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40)


def public(key: Jwk) -> Jwk:
    """Return what others know of a key."""
    return key if key.kty == "oct" else key.public()


@given(PAYLOADS, KIDS, st.sampled_from(SIGNERS))
def test_the_library_verifies_what_we_sign(payload: bytes, kid: str, key: Jwk) -> None:
    """Under each kind of key, whatever is signed and whoever signs."""
    token = jose.sign(payload, key, kid=kid, typ=TYP)
    read = jws.deserialize_compact(token, jose_key(public(key)), algorithms=[key.signing_algorithm])
    assert read.payload == payload
    assert read.headers() == {"alg": key.signing_algorithm, "kid": kid, "typ": TYP}


@given(PAYLOADS, KIDS, st.sampled_from(SIGNERS))
def test_we_verify_what_the_library_signs(payload: bytes, kid: str, key: Jwk) -> None:
    """Also where the header has its fields in another order and other spaces."""
    header = {"typ": TYP, "kid": kid, "alg": key.signing_algorithm}
    token = jws.serialize_compact(header, payload, jose_key(key), algorithms=[key.signing_algorithm])
    assert jose.peek(token).kid == kid
    assert jose.verify(jose.peek(token), public(key), typ=TYP) == payload


@given(PAYLOADS, KIDS, st.sampled_from(RECIPIENTS))
def test_the_library_opens_what_we_seal(payload: bytes, kid: str, key: Jwk) -> None:
    """To each kind of key, with what it needs in the header and nothing else."""
    token = jose.seal(payload, public(key), kid=kid, typ=TYP)
    allowed = [key.sealing_algorithm, jose.CONTENT_ENCRYPTION]
    opened = jwe.decrypt_compact(token, jose_key(key), algorithms=allowed)
    assert opened.plaintext == payload
    assert set(opened.headers()) - {"epk"} == {"alg", "enc", "kid", "typ"}


@given(PAYLOADS, KIDS, st.sampled_from(RECIPIENTS))
def test_we_open_what_the_library_seals(payload: bytes, kid: str, key: Jwk) -> None:
    """By each kind of key."""
    header = {"alg": key.sealing_algorithm, "enc": jose.CONTENT_ENCRYPTION, "kid": kid, "typ": TYP}
    allowed = [key.sealing_algorithm, jose.CONTENT_ENCRYPTION]
    token = jwe.encrypt_compact(header, payload, jose_key(public(key)), algorithms=allowed)
    assert jose.unseal(token, key, typ=TYP) == payload


@given(PAYLOADS)
def test_direct(payload: bytes) -> None:
    """What stays on this machine, both ways."""
    key = SIGNERS[0]
    allowed = ["dir", jose.CONTENT_ENCRYPTION]
    token = jose.seal_direct(payload, key, typ=jose.TYP_VAULT)
    assert jwe.decrypt_compact(token, jose_key(key), algorithms=allowed).plaintext == payload
    header = {"alg": "dir", "enc": jose.CONTENT_ENCRYPTION, "typ": jose.TYP_VAULT}
    other = jwe.encrypt_compact(header, payload, jose_key(key), algorithms=allowed)
    assert jose.unseal_direct(other, key, typ=jose.TYP_VAULT) == payload


@given(st.binary(max_size=200))
def test_base64url(data: bytes) -> None:
    """Parts of tokens are written and read as everywhere else."""
    assert encode_part(data).decode() == b64url_encode(data)
    assert decode_part(encode_part(data)) == b64url_decode(b64url_encode(data)) == data


@pytest.mark.parametrize(
    "wrong", [b"A", b"AA==", b"AA=", b"A+AA", b"A/AA", b"A AA", b"AA\nAA", b"\xc3\xa9AA"]
)
def test_nothing_else_is_base64url(wrong: bytes) -> None:
    """Padding, the other alphabet, spaces and what is no letter are refused."""
    with pytest.raises(FormatError):
        decode_part(wrong)


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["b64"], "b64": False},
        {"jwk": {"kty": "oct"}},
        {"x5u": "https://example.org"},
        {"zip": "DEF"},
    ],
)
def test_a_header_with_more_is_refused(more: dict[str, Any]) -> None:
    """What would change the meaning of a token, or bring its own key, is never passed over."""
    key = SIGNERS[0]
    claimed = {"alg": "HS256", "kid": "a", "typ": TYP, **more}
    signed = f"{b64url_encode(json.dumps(claimed).encode())}.{b64url_encode(b'payload')}"
    token = f"{signed}.{b64url_encode(_hmac(key, signed.encode()))}"
    with pytest.raises(AuthenticationError):
        jose.verify(token, key, typ=TYP)
    with pytest.raises(FormatError):
        jose.peek(token)


@pytest.mark.parametrize("kind", [KeyKind.ED25519, KeyKind.P256])
def test_a_foreign_ephemeral_key_opens_nothing(kind: KeyKind) -> None:
    """An ephemeral key of another curve, off the curve, of order 1 or absent: all are refused."""
    key = PAIRS[kind][1]
    header, *rest = jose.seal(b"plaintext", public(key), kid="a", typ=TYP).split(".")
    claimed = json.loads(b64url_decode(header))
    zeros = b64url_encode(bytes(32))
    for wrong in (
        None,
        {"kty": "OKP", "crv": "X25519", "x": zeros},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": claimed["epk"]["x"], "y": zeros},
        {"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros},
        {"kty": "EC", "crv": "P-256", "x": claimed["epk"]["x"], "y": zeros},
        {"kty": "EC", "crv": "P-384", "x": zeros, "y": zeros},
    ):
        changed = {name: value for name, value in claimed.items() if name != "epk"}
        if wrong is not None:
            changed["epk"] = wrong
        token = ".".join((b64url_encode(json.dumps(changed).encode()), *rest))
        with pytest.raises(AuthenticationError):
            jose.unseal(token, key, typ=TYP)


def test_a_key_held_elsewhere_signs_and_opens() -> None:
    """A pair whose private half is an object, as in a token, does what a written pair does."""
    for at, kind in ((0, KeyKind.P256), (1, KeyKind.P256)):
        key = PAIRS[kind][at]
        held = HeldPair(key.public(), native_key(key))  # type: ignore[arg-type] # a P-256 pair
        if at:
            token = jose.seal(b"plaintext", key.public(), kid="a", typ=TYP)
            assert jose.unseal(token, held, typ=TYP) == b"plaintext"
        else:
            token = jose.sign(b"payload", held, kid="a", typ=TYP)
            assert jose.verify(token, key.public(), typ=TYP) == b"payload"


def _hmac(key: Jwk, data: bytes) -> bytes:
    """Return the HS256 signature, made by hand."""
    return hmac.digest(b64url_decode(key.k or ""), data, hashlib.sha256)
