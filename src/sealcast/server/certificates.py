"""Owns the operator's CAs and the server's certificate under them (RFC 5280): ECDSA P-256, in PEM.

```
operator's CA (ca.pem; what everybody pins; its key may be kept offline)
  ├─ the key server's TLS certificate
  └─ issuing CA (its key sealed in server.vault) ── the parties' certificates (`server.issuing`)
```
Devices trust this one CA and nothing else, so its subject carries the operator's name for people only. An
operator's own CA may stand in its place, with a key of any kind that certificates are signed with.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S, Random
from sealcast.messages.jwk import PublicKey

CA_DAYS = 3_652
"""Ten years: devices in the field pin the CA and are not visited for it."""

SERVER_DAYS = 825
"""The longest that common TLS clients accept for a server."""

BACKDATED = dt.timedelta(days=1)
"""So that a device whose clock is a little slow still takes a fresh certificate."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
SERIAL_BYTES = 19
"""RFC 5280 §4.1.2.2 allows 20, positive; 19 random bytes never look negative."""

COMMON_NAME_CHARS_MAX = 64
"""RFC 5280, appendix A: ub-common-name."""

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both in PEM (the key in PKCS #8, not encrypted)."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "Issued(certificate and key)"


@dataclass(frozen=True, slots=True)
class Ca:
    """A CA that can sign: its certificate and its key."""

    certificate: x509.Certificate
    key: SigningKey

    def __repr__(self) -> str:
        return f"Ca({self.certificate.subject.rfc4514_string()})"

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Return the certificate that `builder` describes, by this CA."""
        named = builder.issuer_name(self.certificate.subject).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return named.sign(self.key, self.hash_algorithm)

    @property
    def hash_algorithm(self) -> hashes.SHA256 | None:
        """The hash under its signatures; Ed25519 brings its own."""
        return None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def make_ca(operator: str, random: Random, wall_ns: int) -> Issued:
    """Return a fresh CA for `operator`, valid for ten years from a day before `wall_ns`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = common_name(f"{operator} Sealcast CA")
    builder = (
        certificate_builder(name, key.public_key(), random=random, wall_ns=wall_ns, days=CA_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    return _issued(builder.sign(key, hashes.SHA256()), key)


def make_issuer(ca: Issued, operator: str, random: Random, wall_ns: int) -> Issued:
    """Return a fresh CA under `ca` that issues the parties' certificates and no further CA.

    It ends with its CA, or after ten years. Raises UsageError if `ca` may not have a CA below it.
    """
    parent = read_ca(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    name = common_name(f"{operator} Sealcast parties")
    builder = certificate_builder(
        name,
        key.public_key(),
        random=random,
        wall_ns=wall_ns,
        days=CA_DAYS,
        not_after=parent.certificate.not_valid_after_utc,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
    return _issued(parent.sign(builder), key)


def make_server_certificate(ca: Issued, hosts: tuple[str, ...], random: Random, wall_ns: int) -> Issued:
    """Return a server certificate under `ca` for `hosts` (names or addresses) and the loopback names.

    Raises UsageError for a host that is neither an address nor an ASCII DNS name.
    """
    parent = read_ca(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    names = tuple(dict.fromkeys((*hosts, *LOOPBACK_HOSTS)))
    general_names = [_general_name(host) for host in names]
    builder = (
        certificate_builder(
            common_name(names[0]),
            key.public_key(),
            random=random,
            wall_ns=wall_ns,
            days=SERVER_DAYS,
            not_after=parent.certificate.not_valid_after_utc,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    )
    return _issued(parent.sign(builder), key)


def hosts_of(certificate_pem: bytes) -> tuple[str, ...]:
    """Return the names and addresses that a server certificate is for; raises UsageError."""
    try:
        names = x509.load_pem_x509_certificate(certificate_pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        raise UsageError("the server's certificate names no host; give them with --host") from error
    return tuple(str(name.value) for name in names.value)


def read_ca(ca: Issued) -> Ca:
    """Read a CA and its key; raises UsageError if they do not fit each other, or it is no CA."""
    try:
        certificate = x509.load_pem_x509_certificate(ca.certificate_pem)
        key = load_pem_private_key(ca.key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError("the CA's certificate or key is not readable PEM without a password") from error
    if not isinstance(key, SigningKey) or key.public_key() != certificate.public_key():
        raise UsageError("the CA's key does not belong to its certificate")
    _check_is_ca(certificate)
    return Ca(certificate, key)


def check_can_have_issuer(ca: Issued) -> None:
    """Raise UsageError if it is no CA, or may not have another CA below it (RFC 5280 §4.2.1.9)."""
    certificate = read_ca(ca).certificate
    if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0:
        raise UsageError("this CA may sign no CA below it (path length 0), and one is needed for the parties")


def alone(ca: Issued) -> Issued:
    """Return a CA without the certificates that its file holds behind its own: nobody is to trust those."""
    return Issued(x509.load_pem_x509_certificate(ca.certificate_pem).public_bytes(Encoding.PEM), ca.key_pem)


def same_certificate(one_pem: bytes, other_pem: bytes) -> bool:
    """Whether two PEM files hold the same certificate; raises UsageError if one holds none."""
    try:
        one, other = x509.load_pem_x509_certificate(one_pem), x509.load_pem_x509_certificate(other_pem)
    except ValueError as error:
        raise UsageError("not a certificate in PEM") from error
    return one == other


def certificate_builder(
    subject: x509.Name,
    public: PublicKey,
    *,
    random: Random,
    wall_ns: int,
    days: int,
    not_after: dt.datetime | None = None,
) -> x509.CertificateBuilder:
    """Return the parts that all certificates have; it ends after `days`, at the latest at `not_after`.

    `not_after` is the end of the CA that will sign it: raises UsageError if that is past.
    """
    now = dt.datetime.fromtimestamp(wall_ns // NS_PER_S, tz=dt.UTC)
    if not_after is not None and not_after <= now:
        raise UsageError(f"the CA that would sign this ended on {not_after:%Y-%m-%d}; take one that is valid")
    end = now + dt.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(int.from_bytes(random.bytes(SERIAL_BYTES), "big") | 1)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(end, not_after) if not_after is not None else end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def key_usage(*allowed: str) -> x509.KeyUsage:
    """Return the extension that allows these uses and no others."""
    return x509.KeyUsage(**{**_NO_USAGE, **dict.fromkeys(allowed, True)})


def common_name(text: str) -> x509.Name:
    """Return a subject of one common name, cut to what X.509 allows."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:COMMON_NAME_CHARS_MAX])])


def _check_is_ca(certificate: x509.Certificate) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise UsageError("the certificate is not a CA's (basic constraints)")


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(certificate.public_bytes(Encoding.PEM), private)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not host or not host.isascii() or any(c.isspace() or c in "/:@" for c in host):
        raise UsageError(f"not a host name or address: {host!r}; give for instance keys.example.org")
    return x509.DNSName(host)
