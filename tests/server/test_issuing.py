"""Certificates of parties: what they say, whom they chain to, and which requests get none."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from sealcast.core.errors import AuthenticationError, FormatError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.keyserver.store_certificates import Revoked
from sealcast.messages.jwk import (
    Jwk,
    jwk_of,
    native_private_key,
    new_oct_key,
    new_p256_pair,
    new_rsa_pair,
    new_sealing_pair,
    new_signing_pair,
)
from sealcast.server.certificates import (
    Issued,
    check_can_have_issuer,
    hosts_of,
    make_ca,
    make_issuer,
    make_server_certificate,
    read_ca,
)
from sealcast.server.issuing import IssuedCertificates, Issuer, read_csr
from sealcast.testing import SimRandom

RANDOM = SimRandom(1)
WALL_MS = 1_800_000_000_000
WALL_NS = WALL_MS * 1_000_000
CA = make_ca("Example", RANDOM, WALL_NS)
ISSUER_CA = make_issuer(CA, "Example", RANDOM, WALL_NS)
ISSUER = Issuer(ISSUER_CA, "Example", RANDOM, days=30)
ED25519, P256 = new_signing_pair(RANDOM), new_p256_pair(RANDOM)


def csr_of(key: Jwk) -> str:
    """Return a request for `key`."""
    signer = native_private_key(key)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(signer, algorithm)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def certify(signing: Jwk, kek: Jwk, party: str = "TV-1") -> IssuedCertificates:
    """Return certificates for the public halves of two keys."""
    return ISSUER.certify(
        id=party, role="device", signing=signing.public(), kek=kek.public(), wall_ms=WALL_MS
    )


@pytest.mark.parametrize("signing", [ED25519, P256], ids=["Ed25519", "P-256"])
@pytest.mark.parametrize(
    "kek", [new_sealing_pair(RANDOM), new_p256_pair(RANDOM), new_rsa_pair()], ids=["X25519", "P-256", "RSA"]
)
def test_a_party_gets_two_certificates(signing: Jwk, kek: Jwk) -> None:
    """Each is for its key, by the party's name, and both chain to the operator's CA."""
    issued = certify(signing, kek)
    pair = [
        x509.load_pem_x509_certificate(pem.encode())
        for pem in (issued.certificates.signing, issued.certificates.kek)
    ]
    middle = x509.load_pem_x509_certificate(issued.certificates.issuer.encode())
    middle.verify_directly_issued_by(x509.load_pem_x509_certificate(CA.certificate_pem))
    for certificate, key, entry in zip(pair, (signing, kek), issued.entries, strict=True):
        certificate.verify_directly_issued_by(middle)
        assert jwk_of(certificate.public_key()) == key.public()
        names = {each.oid: each.value for each in certificate.subject}
        assert names == {
            NameOID.ORGANIZATION_NAME: "Example",
            NameOID.ORGANIZATIONAL_UNIT_NAME: "device",
            NameOID.COMMON_NAME: "TV-1",
        }
        assert entry.serial == f"{certificate.serial_number:x}"
        assert entry.expires_at_ms == WALL_MS + 30 * 86_400_000
        assert certificate.not_valid_before_utc == dt.datetime.fromtimestamp(
            WALL_MS / 1000, dt.UTC
        ) - dt.timedelta(days=1)
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH], "never a server's"
    usage = [each.extensions.get_extension_for_class(x509.KeyUsage).value for each in pair]
    assert (usage[0].digital_signature, usage[0].key_agreement) == (True, False)
    assert (usage[1].key_agreement, usage[1].key_encipherment) == (kek.kty != "RSA", kek.kty == "RSA")


def test_the_server_chains_to_the_ca_by_the_rules_of_the_web() -> None:
    """A strict verifier takes the server's certificate for its hosts."""
    server = make_server_certificate(CA, ("keys.example.org", "192.0.2.1"), RANDOM, WALL_NS)
    store = Store([x509.load_pem_x509_certificate(CA.certificate_pem)])
    at = dt.datetime.fromtimestamp(WALL_MS / 1000, dt.UTC)
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName("keys.example.org"))
    verifier.verify(x509.load_pem_x509_certificate(server.certificate_pem), [])
    assert hosts_of(server.certificate_pem) == (
        "keys.example.org",
        "192.0.2.1",
        "localhost",
        "127.0.0.1",
        "::1",
    )


@pytest.mark.parametrize("key", [ED25519, P256], ids=["Ed25519", "P-256"])
def test_requests(key: Jwk) -> None:
    """A request gives its key if it is signed with it, and nothing if by another."""
    assert read_csr(csr_of(key)) == key.public()


def test_a_request_signed_by_another_key() -> None:
    """Nobody gets a certificate for a key that he cannot sign with."""
    good = csr_of(P256)
    other = x509.load_pem_x509_csr(csr_of(new_p256_pair(RANDOM)).encode())
    der = bytearray(x509.load_pem_x509_csr(good.encode()).public_bytes(serialization.Encoding.DER))
    der[-len(other.signature) + 8] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(AuthenticationError, match="not signed"):
        read_csr(forged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "é" * 10,
        "x" * 20_000,
    ],
)
def test_what_is_no_request(text: str) -> None:
    """Anything else is refused as a remote error."""
    with pytest.raises(FormatError):
        read_csr(text)


def test_a_request_for_a_key_that_is_not_used_here() -> None:
    """An RSA signing key, or another curve, gets no certificate."""
    for key in (rsa.generate_private_key(65_537, 3_072), ec.generate_private_key(ec.SECP384R1())):
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        )
        with pytest.raises(FormatError):
            read_csr(request.public_bytes(serialization.Encoding.PEM).decode())


def test_names_and_keys_that_do_not_fit() -> None:
    """A symmetric key has no certificate, and a name no more characters than X.509 allows."""
    with pytest.raises(FormatError, match="64 characters"):
        certify(ED25519, P256, "x" * 65)
    with pytest.raises(FormatError):
        ISSUER.certify(id="a", role="device", signing=new_oct_key(RANDOM), kek=P256, wall_ms=WALL_MS)


def test_the_revocation_list() -> None:
    """It names each revoked serial with instant and reason, and is signed by the issuing CA."""
    entry = certify(ED25519, P256).entries[0]
    crl = x509.load_der_x509_crl(ISSUER.crl([Revoked(entry.serial, WALL_MS, "keyCompromise")], WALL_MS))
    issuer = x509.load_pem_x509_certificate(ISSUER_CA.certificate_pem)
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    line = crl.get_revoked_certificate_by_serial_number(int(entry.serial, 16))
    assert line is not None
    assert (
        line.extensions.get_extension_for_class(x509.CRLReason).value.reason
        is x509.ReasonFlags.key_compromise
    )
    assert len(list(x509.load_der_x509_crl(ISSUER.crl([], WALL_MS)))) == 0


def test_an_own_ca_of_another_kind() -> None:
    """An operator's RSA or Ed25519 CA signs as well; one without room for a CA below it does not."""
    for key, algorithm in (
        (rsa.generate_private_key(65_537, 2_048), hashes.SHA256()),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ):
        check_can_have_issuer(own_ca(key, algorithm, path_length=1))
        own = own_ca(key, algorithm, path_length=None)
        issuer = make_issuer(own, "Example", RANDOM, WALL_NS)
        x509.load_pem_x509_certificate(issuer.certificate_pem).verify_directly_issued_by(
            read_ca(own).certificate
        )
        with pytest.raises(UsageError, match="path length 0"):
            check_can_have_issuer(own_ca(key, algorithm, path_length=0))


def test_a_ca_that_does_not_do() -> None:
    """Another key, no CA, or no certificate at all: one clear line."""
    with pytest.raises(UsageError, match="does not belong"):
        read_ca(Issued(CA.certificate_pem, ISSUER_CA.key_pem))
    with pytest.raises(UsageError, match="not readable"):
        read_ca(Issued(b"junk", CA.key_pem))
    with pytest.raises(UsageError, match="not a CA's"):
        read_ca(make_server_certificate(CA, (), RANDOM, WALL_NS))


def test_a_ca_that_has_ended() -> None:
    """An operator's own CA that is out of date signs nothing, and the line says since when."""
    old = make_ca("Example", RANDOM, WALL_NS - 11 * 365 * 86_400 * NS_PER_S)
    with pytest.raises(UsageError, match=r"ended on \d{4}-\d\d-\d\d"):
        make_issuer(old, "Example", RANDOM, WALL_NS)
    with pytest.raises(UsageError, match=r"ended on \d{4}-\d\d-\d\d"):
        make_server_certificate(old, (), RANDOM, WALL_NS)


def own_ca(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: hashes.SHA256 | None,
    *,
    path_length: int | None,
) -> Issued:
    """Return a self-signed CA under a key of the operator's own."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Own")])
    at = dt.datetime.fromtimestamp(WALL_MS / 1000, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(at)
        .not_valid_after(at + dt.timedelta(days=1_000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .sign(key, algorithm)
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Issued(certificate.public_bytes(serialization.Encoding.PEM), pem)
