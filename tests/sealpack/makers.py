"""Owns what the tests of packages share: an operator, a seller, devices, escrows and their keys."""

from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sealcast.core.secret import Secret
from sealcast.device.chains import ESCROW_ROLE, CertifiedParty, read_party
from sealcast.keys.rsakem import RsaPublic, blind, unblind
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import TYP_ESCROW_KEY, KeyDocument
from sealcast.messages.jwk import Jwk, native_public_key, new_sealing_pair, new_signing_pair
from sealcast.messages.package import CHUNK_BYTES, PackageEscrow, PackageHeader
from sealcast.sealpack.escrowkeys import EscrowKey, read_escrow_key
from sealcast.sealpack.header import CheckedHeader, read_header, sign_header
from sealcast.sealpack.sharing import CheckedPart, key_commitment, open_escrow_share, parts_for_escrows
from sealcast.server.certificates import Issued, certificate_builder, make_ca, make_issuer, read_ca
from sealcast.server.issuing import Issuer
from sealcast.testing import SimRandom

OPERATOR = "example"
WALL_NS = 1_800_000_000 * 10**9
WALL_MS = WALL_NS // 10**6
RANDOM = SimRandom(38)


@dataclass(frozen=True)
class Party:
    """A seller or device: who it is, its pairs, its certificates."""

    certified: CertifiedParty
    certificates: Certificates
    signing: Jwk
    kek: Jwk


@dataclass(frozen=True)
class Escrow:
    """An escrow: its certificate, what signs its documents, its RSA key."""

    id: str
    certificate: str
    signing: Jwk
    private: rsa.RSAPrivateKey

    @property
    def public(self) -> RsaPublic:
        """The public half of its key."""
        return RsaPublic(self.private.public_key().public_numbers().n)

    def packed(self, seller: str = "studio", **changed: object) -> PackageEscrow:
        """Return its key as packages have it, for a seller; `changed` fields of the document."""
        fields: dict[str, object] = {
            "version": 1,
            "escrow": self.id,
            "operator": OPERATOR,
            "key": self.public.key_id,
            "modulus": self.public.pack(self.public.modulus),
            "exponent": self.public.exponent,
            "seller": seller,
            "price_class": "film",
            "price_micro": 4_990_000,
            "currency": "EUR",
            "servers": ["https://escrow.example:8444"],
            "created_at_ms": WALL_MS,
            **changed,
        }
        document = encode(KeyDocument(**fields))  # type: ignore[arg-type]
        key = jose.sign(document, self.signing, kid=self.id, typ=TYP_ESCROW_KEY)
        return PackageEscrow(key=key, certificate=self.certificate)

    def open(self, asked: bytes) -> bytes:
        """Return asked^d mod n, without any of an escrow's checks."""
        numbers = self.private.private_numbers()
        c = int.from_bytes(asked, "big")
        m_p, m_q = pow(c, numbers.dmp1, numbers.p), pow(c, numbers.dmq1, numbers.q)
        return self.public.pack(m_q + numbers.q * ((m_p - m_q) * numbers.iqmp % numbers.p))


@dataclass(frozen=True)
class Operator:
    """A CA and the one below it."""

    ca: Issued
    issuer: Issuer

    @property
    def ca_pem(self) -> str:
        """What everybody trusts."""
        return self.ca.certificate_pem.decode()

    def party(self, name: str, role: str) -> Party:
        """Return a new party with certificates."""
        signing, kek = new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
        issued = self.issuer.certify(
            id=name,
            role=role,  # type: ignore[arg-type]
            signing=signing.public(),
            kek=kek.public(),
            wall_ms=WALL_MS,
        )
        certificates = issued.certificates
        return Party(read_party(certificates, self.ca_pem), certificates, signing, kek)

    def escrow(self, name: str, role: str = ESCROW_ROLE, key: int = 0) -> Escrow:
        """Return a new escrow under the CA with the RSA key of that number."""
        signing = new_signing_pair(RANDOM)
        names = (
            (NameOID.ORGANIZATION_NAME, OPERATOR),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            (NameOID.COMMON_NAME, name),
        )
        subject = x509.Name([x509.NameAttribute(*each) for each in names])
        public = native_public_key(signing.public())
        builder = certificate_builder(subject, public, random=RANDOM, wall_ns=WALL_NS, days=30)
        made = read_ca(self.ca).sign(
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        return Escrow(name, made.public_bytes(Encoding.PEM).decode(), signing, rsa_key(key))


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """Return a private key of 3,072 bits; the same for the same number (0.2 s for each number)."""
    del number
    return rsa.generate_private_key(65_537, 3_072)


@cache
def operator(name: str = OPERATOR) -> Operator:
    """Return an operator; the same for the same name."""
    ca = make_ca(name, RANDOM, WALL_NS)
    return Operator(ca, Issuer(make_issuer(ca, name, RANDOM, WALL_NS), name, RANDOM, days=30))


@cache
def seller(name: str = "studio", role: str = "seller") -> Party:
    """Return a party under the usual operator; the same for the same names."""
    return operator().party(name, role)


@cache
def escrow(number: int = 0) -> Escrow:
    """Return the escrow of that number, with an RSA key of its own."""
    return operator().escrow(f"escrow-{number}", key=number)


def header_of(
    count: int = 1,
    *,
    threshold: int = 1,
    content_key: Secret | None = None,
    is_licensed: bool = False,
    is_mixed: bool = False,
    **changed: object,
) -> PackageHeader:
    """Return a header for the first `count` escrows; `changed` fields of it.

    With `is_mixed` the last escrow's share is of another polynomial, with the commitment that fits it.
    """
    package_id = RANDOM.bytes(16)
    packed = [escrow(number).packed() for number in range(count)]
    keys = [read_escrow_key(each, operator().ca_pem) for each in packed]
    key = content_key or Secret(RANDOM.bytes(32))
    parts = (
        [] if is_licensed else parts_for_escrows(key, package_id, keys, threshold=threshold, random=RANDOM)
    )
    if is_mixed:
        other = Secret(RANDOM.bytes(32))
        mixed = parts_for_escrows(other, package_id, keys, threshold=threshold, random=RANDOM)
        parts = [*parts[:-1], mixed[-1]]
    fields: dict[str, object] = {
        "version": 1,
        "id": b64url_encode(package_id),
        "title": "A film",
        "name": "film.mp4",
        "media_type": "video/mp4",
        "size": 1_000_000,
        "chunk_bytes": CHUNK_BYTES,
        "root": bytes(32),
        "seller": "studio",
        "operator": OPERATOR,
        "certificates": seller().certificates,
        "created_at_ms": WALL_MS,
        "escrows": packed,
        "threshold": threshold,
        "parts": parts,
        "key_commitment": key_commitment(key, package_id),
        **changed,
    }
    return PackageHeader(**fields)  # type: ignore[arg-type]


def checked(header: PackageHeader) -> CheckedHeader:
    """Return a header that its seller signed, as a reader believes it."""
    return read_header(sign_header(header, seller().signing), operator().ca_pem)


def opened(part: CheckedPart, by: Escrow, package_id: bytes) -> Secret:
    """Return an escrow's share, asked blindly."""
    key: EscrowKey | None = part.key
    assert key is not None
    asked = blind(key.public, part.encapsulation, RANDOM)
    z = unblind(key.public, part.encapsulation, asked.r, by.open(asked.blinded))
    return open_escrow_share(part, package_id, z)
