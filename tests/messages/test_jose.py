"""Signed and sealed messages: only by the right key, of the right kind, in the right algorithm."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.jwk import OctKey

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError
from sealcast.messages import jose
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, b64url_decode, b64url_encode
from sealcast.messages.jwk import (
    Jwk,
    jose_key,
    new_oct_key,
    new_p256_pair,
    new_rsa_pair,
    new_sealing_pair,
    new_signing_pair,
)
from sealcast.testing import SimRandom

RANDOM = SimRandom(1)
OCT, OTHER_OCT = new_oct_key(RANDOM), new_oct_key(RANDOM)
SIGNING, OTHER_SIGNING = new_signing_pair(RANDOM), new_signing_pair(RANDOM)
SEALING, OTHER_SEALING = new_sealing_pair(RANDOM), new_sealing_pair(RANDOM)
P256, OTHER_P256 = new_p256_pair(RANDOM), new_p256_pair(RANDOM)
RSA, OTHER_RSA = new_rsa_pair(), new_rsa_pair()
TYP = jose.TYP_REQUEST

SIGNERS = {
    "HS256": (OCT, OCT, OTHER_OCT),
    "Ed25519": (SIGNING, SIGNING.public(), OTHER_SIGNING.public()),
    "ES256": (P256, P256.public(), OTHER_P256.public()),
}
RECIPIENTS = {
    "A256KW": (OCT, OCT, OTHER_OCT),
    "ECDH-ES X25519": (SEALING.public(), SEALING, OTHER_SEALING),
    "ECDH-ES P-256": (P256.public(), P256, OTHER_P256),
    "RSA-OAEP-256": (RSA.public(), RSA, OTHER_RSA),
}
SIGNER = pytest.mark.parametrize(("key", "verifier", "other"), SIGNERS.values(), ids=list(SIGNERS))
RECIPIENT = pytest.mark.parametrize(
    ("recipient", "holder", "other"), RECIPIENTS.values(), ids=list(RECIPIENTS)
)


@SIGNER
def test_sign_and_verify(key: Jwk, verifier: Jwk, other: Jwk) -> None:
    """The payload comes back under the signer's key and no other, of its own kind and no other."""
    token = jose.sign(b"payload", key, kid="studio", typ=TYP)
    assert (jose.peek(token).kid, jose.peek(token).typ) == ("studio", TYP)
    assert jose.verify(token, verifier, typ=TYP) == b"payload"
    assert jose.verify(token.encode(), verifier, typ=TYP) == b"payload"
    with pytest.raises(AuthenticationError):
        jose.verify(token, other, typ=TYP)
    with pytest.raises(AuthenticationError, match="another kind"):
        jose.verify(token, verifier, typ=jose.TYP_ANSWER)


@RECIPIENT
def test_seal_and_unseal(recipient: Jwk, holder: Jwk, other: Jwk) -> None:
    """The plaintext comes back under the recipient's key and no other, of its own kind and no other."""
    token = jose.seal(b"plaintext", recipient, kid="set-top", typ=TYP)
    assert jose.unseal(token, holder, typ=TYP) == b"plaintext"
    with pytest.raises(AuthenticationError):
        jose.unseal(token, other, typ=TYP)
    with pytest.raises(AuthenticationError, match="another kind"):
        jose.unseal(token, holder, typ=jose.TYP_ANSWER)


def test_seal_direct() -> None:
    """What stays on this machine is under the key itself, and is not opened as if it were sent."""
    token = jose.seal_direct(b"credential", OCT, typ=jose.TYP_VAULT)
    assert jose.unseal_direct(token, OCT, typ=jose.TYP_VAULT) == b"credential"
    with pytest.raises(AuthenticationError):
        jose.unseal_direct(token, OTHER_OCT, typ=jose.TYP_VAULT)
    with pytest.raises(AuthenticationError):
        jose.unseal(token, OCT, typ=jose.TYP_VAULT)


def test_only_the_public_half_is_needed_to_seal() -> None:
    """Who seals cannot open again."""
    token = jose.seal(b"plaintext", SEALING.public(), kid="a", typ=TYP)
    with pytest.raises(AuthenticationError):
        jose.unseal(token, SEALING.public(), typ=TYP)


def forged_tokens() -> dict[str, str]:
    """Return tokens that claim to be by SIGNING and were made without its private half."""
    header = {"kid": "studio", "typ": TYP}
    public_bytes = SIGNING.raw_public()

    def hmac_under(key: bytes) -> str:
        claimed = {**header, "alg": "HS256"}
        return jws.serialize_compact(claimed, b"payload", OctKey.import_key(key), algorithms=["HS256"])

    def unsigned(algorithm: str) -> str:
        claimed = json.dumps({**header, "alg": algorithm}).encode()
        return f"{b64url_encode(claimed)}.{b64url_encode(b'payload')}."

    return {
        "HS256 under the public key's bytes": hmac_under(public_bytes),
        "HS256 under the public key's text": hmac_under((SIGNING.x or "").encode()),
        "none": unsigned("none"),
        "None": unsigned("None"),
        "empty signature": unsigned("Ed25519"),
        "no algorithm": f"{b64url_encode(json.dumps(header).encode())}.{b64url_encode(b'payload')}.",
    }


@pytest.mark.parametrize("name", forged_tokens())
def test_algorithm_confusion(name: str) -> None:
    """What a header claims does not choose the algorithm: the key does."""
    with pytest.raises(AuthenticationError):
        jose.verify(forged_tokens()[name], SIGNING.public(), typ=TYP)


def test_a_signature_is_not_an_hmac() -> None:
    """The other way round: an Ed25519 token is not taken under a symmetric key."""
    with pytest.raises(AuthenticationError):
        jose.verify(jose.sign(b"payload", SIGNING, kid="a", typ=TYP), OCT, typ=TYP)


def test_a_foreign_algorithm_does_not_unseal() -> None:
    """Neither `dir` nor another key wrap is opened where A256KW is expected, nor anything compressed."""
    key = jose_key(OCT)
    for protected in (
        {"alg": "dir", "enc": "A256GCM", "typ": TYP},
        {"alg": "A256GCMKW", "enc": "A256GCM", "typ": TYP},
        {"alg": "A256KW", "enc": "A256CBC-HS512", "typ": TYP},
        {"alg": "A256KW", "enc": "A256GCM", "zip": "DEF", "typ": TYP},
    ):
        names = [value for name, value in protected.items() if name != "typ"]
        token = jwe.encrypt_compact(protected, b"plaintext", key, algorithms=names)
        with pytest.raises(AuthenticationError):
            jose.unseal(token, OCT, typ=TYP)


def every_change(token: str) -> list[str]:
    """Return the token with one byte of one part changed, for each byte, in canonical base64url."""
    parts = token.split(".")
    changed = []
    for number, part in enumerate(parts):
        data = b64url_decode(part)
        for at in range(len(data)):
            forged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            changed.append(".".join([*parts[:number], b64url_encode(forged), *parts[number + 1 :]]))
    return changed


def test_every_changed_byte_is_refused() -> None:
    """Header, payload, wrapped key, IV, ciphertext, tag and signature: all are protected."""
    readers: list[tuple[str, Callable[[str], bytes]]] = [
        (jose.sign(b"pay", OCT, kid="a", typ=TYP), lambda token: jose.verify(token, OCT, typ=TYP)),
        (jose.sign(b"pay", SIGNING, kid="a", typ=TYP), lambda token: jose.verify(token, SIGNING, typ=TYP)),
        (jose.seal(b"pay", OCT, kid="a", typ=TYP), lambda token: jose.unseal(token, OCT, typ=TYP)),
        (jose.seal(b"pay", SEALING, kid="a", typ=TYP), lambda token: jose.unseal(token, SEALING, typ=TYP)),
    ]
    for token, read in readers:
        assert read(token) == b"pay"
        for forged in every_change(token):
            with pytest.raises(AuthenticationError):
                read(forged)


@given(
    st.one_of(
        st.binary(max_size=80), st.text(max_size=80), st.from_regex(r"\A[\w-]{0,20}(\.[\w-]{0,20}){1,5}\Z")
    )
)
def test_any_token_is_refused(token: bytes | str) -> None:
    """What is no token raises a remote error and nothing else."""
    for read in (
        lambda: jose.peek(token),
        lambda: jose.verify(token, SIGNING, typ=TYP),
        lambda: jose.verify(token, OCT, typ=TYP),
        lambda: jose.unseal(token, SEALING, typ=TYP),
        lambda: jose.unseal(token, OCT, typ=TYP),
        lambda: jose.unseal_direct(token, OCT, typ=TYP),
    ):
        with pytest.raises(RemoteError):
            read()


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"kid": "a"},
        {"typ": "t"},
        {"kid": 7, "typ": "t"},
        {"kid": "", "typ": "t"},
        {"kid": "a" * 129, "typ": "t"},
    ],
)
def test_peek_needs_kid_and_typ(header: dict[str, object]) -> None:
    """A header that does not say who and what is refused before any key is looked up."""
    claimed = b64url_encode(json.dumps({"alg": "Ed25519", **header}).encode())
    with pytest.raises(FormatError):
        jose.peek(f"{claimed}.AAAA.AAAA")


def test_too_long_a_token_is_refused_unread() -> None:
    """Its length is looked at first."""
    token = "A" * (MESSAGE_BYTES_MAX + 1)
    for read in (lambda: jose.peek(token), lambda: jose.verify(token, OCT, typ=TYP)):
        with pytest.raises(FormatError, match="at most"):
            read()


def test_a_weak_public_key_is_refused() -> None:
    """Nothing is sealed to the point of order 1, where anybody knows the shared secret."""
    weak = Jwk(kty="OKP", crv="X25519", x=b64url_encode(bytes(32)))
    with pytest.raises(FormatError, match="nothing can be sealed"):
        jose.seal(b"plaintext", weak, kid="a", typ=TYP)


def test_a_large_message_opens_again() -> None:
    """What was signed within a sealed message opens as long as it is no larger than any message may be."""
    payload = RANDOM.bytes(140_000)
    token = jose.sign(jose.seal(payload, OCT, kid="k", typ=TYP).encode(), SIGNING, kid="k", typ=TYP)
    assert len(token) < MESSAGE_BYTES_MAX
    assert jose.unseal(jose.verify(token, SIGNING.public(), typ=TYP), OCT, typ=TYP) == payload
