"""Owns the certificates of parties: reading a request, issuing the two of a party, the revocation list.

| certificate | key     | key usage                                            |
|-------------|---------|------------------------------------------------------|
| signing     | signing | digitalSignature; clientAuth                         |
| kek         | KEK     | keyAgreement, or for RSA keyEncipherment; clientAuth |

None is a TLS server's: without the extended use it could be, for a host of the same name as its party.

Subject: O = operator, OU = role, CN = id. A request's own subject is not looked at: the server names parties.
"""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ports import NS_PER_MS, Random
from sealcast.keyserver.store_certificates import USE_KEK, USE_SIGNING, CertificateEntry, Revoked
from sealcast.messages.enrolment import IDENTIFIED_POLICY, Certificates
from sealcast.messages.jwk import Jwk, PublicKey, jwk_of, native_public_key
from sealcast.messages.requests import Role
from sealcast.server.certificates import (
    COMMON_NAME_CHARS_MAX,
    Ca,
    Issued,
    certificate_builder,
    key_usage,
    read_ca,
)

CSR_BYTES_MAX = 16_384
"""A request for one key has some hundred bytes."""

CRL_VALID_DAYS = 1
"""When a reader of the revocation list should ask again; our own servers ask the database each time."""

REASONS = {
    reason.value: reason
    for reason in x509.ReasonFlags
    if reason not in {x509.ReasonFlags.remove_from_crl, x509.ReasonFlags.certificate_hold}
}
"""Why a certificate is revoked (RFC 5280 §5.3.1); those that could be taken back are left out."""

IDENTIFIED = x509.PolicyInformation(x509.ObjectIdentifier(IDENTIFIED_POLICY), None)
"""What the certificates of a party say whose person the operator knows."""


@dataclass(frozen=True, slots=True)
class IssuedCertificates:
    """What a party gets, and what the database keeps of it."""

    certificates: Certificates
    entries: tuple[CertificateEntry, ...]


@dataclass(frozen=True, slots=True)
class _Party:
    """What both certificates of a party have in common."""

    subject: x509.Name
    kek: Jwk
    wall_ms: int
    is_identified: bool


class Issuer:
    """The issuing CA of an operator's parties; each certificate is good for `days`."""

    def __init__(self, ca: Issued, operator: str, random: Random, *, days: int) -> None:
        """Read the CA; raises UsageError if certificate and key do not fit each other."""
        self._ca: Ca = read_ca(ca)
        self._ca_pem = ca.certificate_pem.decode()
        self._operator = operator
        self._random = random
        self._days = days

    def certify(
        self,
        *,
        id: str,  # noqa: A002 - the field's name in every message
        role: Role,
        signing: Jwk,
        kek: Jwk,
        wall_ms: int,
        is_identified: bool = False,
    ) -> IssuedCertificates:
        """Return the two certificates of a party; costs about 0.2 ms.

        With `is_identified` they say that the operator knows the party's person (`IDENTIFIED_POLICY`).
        Raises FormatError if a key is symmetric, or the id longer than a certificate's name may be.
        """
        if len(id) > COMMON_NAME_CHARS_MAX:
            raise FormatError(f"a certified party's id has at most {COMMON_NAME_CHARS_MAX} characters")
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self._operator),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
                x509.NameAttribute(NameOID.COMMON_NAME, id),
            ]
        )
        party = _Party(subject, kek, wall_ms, is_identified)
        signs = self._issue(party, native_public_key(signing), USE_SIGNING)
        opens = self._issue(party, native_public_key(kek), USE_KEK)
        return IssuedCertificates(
            Certificates(signing=_pem(signs), kek=_pem(opens), issuer=self._ca_pem),
            (_entry(signs, id, USE_SIGNING, wall_ms), _entry(opens, id, USE_KEK, wall_ms)),
        )

    def in_pem(self, signing: bytes, kek: bytes) -> Certificates:
        """Return two certificates of a party, given in DER, as an answer has them."""
        signs, opens = (x509.load_der_x509_certificate(each) for each in (signing, kek))
        return Certificates(signing=_pem(signs), kek=_pem(opens), issuer=self._ca_pem)

    def crl(self, revoked: list[Revoked], wall_ms: int) -> bytes:
        """Return the revocation list (RFC 5280 §5) in DER."""
        now = _instant(wall_ms)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._ca.certificate.subject)
            .last_update(now)
            .next_update(now + dt.timedelta(days=CRL_VALID_DAYS))
            .add_extension(x509.CRLNumber(wall_ms), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca.key.public_key()), critical=False
            )
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(each.serial, 16))
                .revocation_date(_instant(each.revoked_at_ms))
                .add_extension(x509.CRLReason(REASONS[each.reason]), critical=False)
                .build()
            )
        return builder.sign(self._ca.key, self._ca.hash_algorithm).public_bytes(Encoding.DER)

    def _issue(self, party: _Party, public: PublicKey, use: str) -> x509.Certificate:
        builder = certificate_builder(
            party.subject,
            public,
            random=self._random,
            wall_ns=party.wall_ms * NS_PER_MS,
            days=self._days,
            not_after=self._ca.certificate.not_valid_after_utc,
        ).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        usage = "key_encipherment" if party.kek.kty == "RSA" else "key_agreement"
        if use == USE_SIGNING:
            usage = "digital_signature"
        builder = builder.add_extension(key_usage(usage), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        if party.is_identified:
            builder = builder.add_extension(x509.CertificatePolicies([IDENTIFIED]), critical=False)
        return self._ca.sign(builder)


def read_csr(csr: str) -> Jwk:
    """Return the signing key of a PKCS #10 request in PEM (RFC 2986) whose own signature verifies.

    Raises FormatError for what is no such request or asks for a key that cannot sign, AuthenticationError for
    a signature by another key.
    """
    if len(csr) > CSR_BYTES_MAX:
        raise FormatError(f"a certificate request has at most {CSR_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        signing = jwk_of(request.public_key())
        # The kind first: nobody has us check a signature under a huge key of a kind that cannot sign here.
        is_by_it = bool(signing.signing_algorithm) and request.is_signature_valid
    except Exception as error:
        # The library has an error of its own for each fault of a request: its version, key, extensions, text.
        raise FormatError(
            "not a certificate request (PKCS #10 in PEM) for a key that is used here"
        ) from error
    if not is_by_it:
        raise AuthenticationError("the certificate request is not signed with the key that it is for")
    return signing


def says_identified(certificate_der: bytes) -> bool:
    """Whether a certificate that we issued says that the party's person is known."""
    extensions = x509.load_der_x509_certificate(certificate_der).extensions
    try:
        return IDENTIFIED in extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False


def _entry(certificate: x509.Certificate, principal: str, use: str, wall_ms: int) -> CertificateEntry:
    return CertificateEntry(
        serial=f"{certificate.serial_number:x}",
        principal=principal,
        use=use,
        certificate=certificate.public_bytes(Encoding.DER),
        issued_at_ms=wall_ms,
        expires_at_ms=int(certificate.not_valid_after_utc.timestamp()) * 1_000,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _instant(wall_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(wall_ms // 1_000, tz=dt.UTC)
