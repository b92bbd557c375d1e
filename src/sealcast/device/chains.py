"""Owns reading who a certificate is of, and that the operator's CA vouches for it (RFC 5280).

No clock is read and no list of revoked ones: whether a certificate is still good is asked of a server.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.device.certified import check_issued, is_ca, name_in, read_certificate
from sealcast.messages.enrolment import IDENTIFIED_POLICY, Certificates
from sealcast.messages.jwk import Jwk, jwk_of

ESCROW_ROLE = "escrow"
"""The organizational unit of an escrow's certificate; no party has this role."""


@dataclass(frozen=True, slots=True)
class CertifiedParty:
    """Who two certificates are of; `serials` as hexadecimal, signing first; the earlier end of the two."""

    id: str
    role: str
    operator: str
    signing: Jwk
    kek: Jwk
    is_identified: bool
    serials: tuple[str, str]
    ends_at_ms: int


@dataclass(frozen=True, slots=True)
class CertifiedEscrow:
    """An escrow: its id and operator, the key that signs what it says, its certificate's serial number."""

    id: str
    operator: str
    signing: Jwk
    serial: str


def read_party(certificates: Certificates, ca_pem: str) -> CertifiedParty:
    """Return whose certificates these are, under the issuing CA below `ca_pem`; costs three checks, 0.5 ms.

    Raises AuthenticationError for what another CA made, or for two of different parties; FormatError for what
    is no certificate.
    """
    ca, issuer = read_certificate(ca_pem), read_certificate(certificates.issuer)
    check_issued(issuer, ca, "the issuing CA's certificate")
    if not is_ca(issuer):
        raise AuthenticationError("the certificate of the issuing CA is not one of a CA")
    signs, opens = read_certificate(certificates.signing), read_certificate(certificates.kek)
    for each in (signs, opens):
        check_issued(each, issuer, "the party's certificate")
        if is_ca(each):
            raise AuthenticationError("a party's certificate is not one of a CA")
    if signs.subject != opens.subject:
        raise AuthenticationError("the two certificates are of different parties")
    name, role, operator = _names(signs)
    return CertifiedParty(
        id=name,
        role=role,
        operator=operator,
        signing=jwk_of(signs.public_key()),
        kek=jwk_of(opens.public_key()),
        is_identified=is_identified(signs) and is_identified(opens),
        serials=(f"{signs.serial_number:x}", f"{opens.serial_number:x}"),
        ends_at_ms=min(int(each.not_valid_after_utc.timestamp()) * 1_000 for each in (signs, opens)),
    )


def read_escrow(certificate_pem: str, ca_pem: str) -> CertifiedEscrow:
    """Return whose signing certificate this is, of an escrow right under `ca_pem`; raises as `read_party`."""
    certificate = read_certificate(certificate_pem)
    check_issued(certificate, read_certificate(ca_pem), "the escrow's certificate")
    name, role, operator = _names(certificate)
    if role != ESCROW_ROLE or is_ca(certificate):
        raise AuthenticationError(f"the certificate is of a {role}, not of an escrow")
    return CertifiedEscrow(name, operator, jwk_of(certificate.public_key()), f"{certificate.serial_number:x}")


def is_identified(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that the operator identified its party's person."""
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return any(each.policy_identifier.dotted_string == IDENTIFIED_POLICY for each in policies)


def _names(certificate: x509.Certificate) -> tuple[str, str, str]:
    found = [
        name_in(certificate, oid)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME)
    ]
    names = [name for name in found if name is not None]
    if len(names) != len(found):
        raise FormatError("a certificate without id, role or operator in its subject")
    return names[0], names[1], names[2]
