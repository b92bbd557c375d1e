"""Owns a party's look at its own certificates: are they ours, who vouches for them, how long is their life.

No clock is read: whether a certificate is still good is the key server's word.
"""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.device.vault import Credential
from sealcast.messages.enrolment import Certificates
from sealcast.messages.jwk import jwk_of


def check_certificates(certificates: Certificates, credential: Credential) -> None:
    """Check that `certificates` are for the keys, id and role of `credential`, and under the CA that it pins.

    Raises AuthenticationError saying what does not hold, FormatError for what is no certificate.
    """
    ca, issuer = read_certificate(credential.ca_pem), read_certificate(certificates.issuer)
    check_issued(issuer, ca, "the issuing CA's certificate")
    if not is_ca(issuer):
        raise AuthenticationError("the certificate of the issuing CA is not one of a CA")
    for pem, key in ((certificates.signing, credential.signing), (certificates.kek, credential.kek)):
        certificate = read_certificate(pem)
        check_issued(certificate, issuer, "our certificate")
        if jwk_of(certificate.public_key()) != key.public():
            raise AuthenticationError("a certificate that came is not for our key")
        names = (
            name_in(certificate, NameOID.COMMON_NAME),
            name_in(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME),
        )
        if names != (credential.id, credential.role):
            raise AuthenticationError(f"a certificate that came is not for {credential.role} {credential.id}")


def life_s(certificates: Certificates) -> float:
    """Return for how many seconds in all the signing certificate is made; raises FormatError."""
    certificate = read_certificate(certificates.signing)
    return (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()


def read_certificate(pem: str) -> x509.Certificate:
    """Return a certificate in PEM whose key, subject and extensions can be read; raises FormatError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        # The library reads these when they are asked for, and has an error of its own for each fault.
        _ = certificate.public_key(), certificate.subject, certificate.extensions
    except Exception as error:
        raise FormatError("not a certificate in PEM") from error
    return certificate


def spki_digest(certificate: x509.Certificate) -> bytes:
    """Return SHA-256 of a certificate's SubjectPublicKeyInfo (DER): its key's name, whoever certified it."""
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


def check_issued(certificate: x509.Certificate, by: x509.Certificate, what: str) -> None:
    """Raise AuthenticationError unless `by` issued and signed a certificate; `what` names it."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise AuthenticationError(f"{what} is not by the operator's CA") from error


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate is one of a CA (RFC 5280 §4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def name_in(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    """Return the one name of a kind in a certificate's subject; None for none or several."""
    values = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]
    return values[0] if len(values) == 1 else None
