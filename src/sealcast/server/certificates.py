"""Owns the operator's CA and the server certificates under it (RFC 5280): ECDSA P-256, in PEM.

Devices trust this one CA and nothing else, so its subject carries the operator's name for people only.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S, Random

CA_DAYS = 3_652
"""Ten years: devices in the field pin the CA and are not visited for it."""

SERVER_DAYS = 825
"""The longest that common TLS clients accept for a server."""

BACKDATED = dt.timedelta(days=1)
"""So that a device whose clock is a little slow still takes a fresh certificate."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
SERIAL_BYTES = 19
"""RFC 5280 §4.1.2.2 allows 20, positive; 19 random bytes never look negative."""

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


def make_ca(operator: str, random: Random, wall_ns: int) -> Issued:
    """Return a fresh CA for `operator`, valid for ten years from a day before `wall_ns`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{operator} Sealcast CA")
    builder = (
        _builder(name, name, key.public_key(), random=random, wall_ns=wall_ns, days=CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    return Issued(_signed(builder, key), _private_pem(key))


def make_server_certificate(ca: Issued, hosts: tuple[str, ...], random: Random, wall_ns: int) -> Issued:
    """Return a server certificate under `ca` for `hosts` (names or addresses) and the loopback names.

    Raises UsageError for a host that is neither an address nor an ASCII DNS name.
    """
    issuer = x509.load_pem_x509_certificate(ca.certificate_pem)
    issuer_key = _private_key(ca.key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    names = tuple(dict.fromkeys((*hosts, *LOOPBACK_HOSTS)))
    general_names = [_general_name(host) for host in names]
    builder = (
        _builder(
            _name(names[0]),
            issuer.subject,
            key.public_key(),
            random=random,
            wall_ns=wall_ns,
            days=SERVER_DAYS,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general_names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    return Issued(_signed(builder, issuer_key), _private_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    random: Random,
    wall_ns: int,
    days: int,
) -> x509.CertificateBuilder:
    now = dt.datetime.fromtimestamp(wall_ns // NS_PER_S, tz=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(random.bytes(SERIAL_BYTES), "big") | 1)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError("the CA's key is not an elliptic-curve key; restore ca.key of this state directory")
    return key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{**_NO_USAGE, **dict.fromkeys(allowed, True)})


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not host or not host.isascii() or any(c.isspace() or c in "/:@" for c in host):
        raise UsageError(f"not a host name or address: {host!r}; give for instance keys.example.org")
    return x509.DNSName(host)
