"""A newcomer's keys: two different ones of each kind that do their work, and a request for a certificate."""

import pytest
from cryptography import x509

from sealcast.core.errors import FormatError
from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import jose
from sealcast.messages.jwk import jwk_of, new_oct_key, new_sealing_pair
from sealcast.testing import SimRandom

ALGORITHMS = {
    KeyKind.SYMMETRIC: ("HS256", "A256KW"),
    KeyKind.ED25519: ("Ed25519", "ECDH-ES+A256KW"),
    KeyKind.P256: ("ES256", "ECDH-ES+A256KW"),
    KeyKind.RSA: ("Ed25519", "RSA-OAEP-256"),
}


@pytest.mark.parametrize("kind", KeyKind)
def test_each_kind_signs_and_opens(kind: KeyKind) -> None:
    """Each kind has a key that signs and another that opens, under the documented algorithms."""
    signing, kek = new_keys(kind, SimRandom(1))
    assert signing != kek
    assert (signing.signing_algorithm, kek.sealing_algorithm) == ALGORITHMS[kind]
    token = jose.sign(b"hello", signing, kid="x", typ=jose.TYP_REQUEST)
    verifier = signing if kind is KeyKind.SYMMETRIC else signing.public()
    assert jose.verify(token, verifier, typ=jose.TYP_REQUEST) == b"hello"
    recipient = kek if kind is KeyKind.SYMMETRIC else kek.public()
    sealed = jose.seal(b"secret", recipient, kid="x", typ=jose.TYP_SEALED_KEY)
    assert jose.unseal(sealed, kek, typ=jose.TYP_SEALED_KEY) == b"secret"


@pytest.mark.parametrize("kind", [KeyKind.ED25519, KeyKind.P256, KeyKind.RSA])
def test_a_request_for_a_certificate(kind: KeyKind) -> None:
    """A request holds the signing key, is signed with it, and names nobody: the CA gives the name."""
    signing, _ = new_keys(kind, SimRandom(1))
    request = x509.load_pem_x509_csr(make_csr(signing).encode())
    assert request.is_signature_valid
    assert jwk_of(request.public_key()) == signing.public()
    assert not list(request.subject)


def test_no_request_for_other_keys() -> None:
    """Keys that cannot sign, and symmetric ones, get no request."""
    for key in (new_oct_key(SimRandom(1)), new_sealing_pair(SimRandom(1))):
        with pytest.raises(FormatError):
            make_csr(key)
