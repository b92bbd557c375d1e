"""Owns the certificate request of a party: PKCS #10 (RFC 2986) for its signing key.

The subject is empty: the operator's CA names the party.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from sealcast.core.errors import FormatError
from sealcast.messages.jwk import HeldPair, Jwk, native_private_key


def make_csr(signing: Jwk | HeldPair) -> str:
    """Return a request in PEM for an Ed25519 or P-256 pair; raises FormatError for another kind of key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    match native_private_key(signing):
        case Ed25519PrivateKey() as key:
            request = builder.sign(key, None)
        case EllipticCurvePrivateKey() as key:
            request = builder.sign(key, hashes.SHA256())
        case _:
            raise FormatError("a certificate request is for a key that signs: Ed25519 or P-256")
    return request.public_bytes(Encoding.PEM).decode()
