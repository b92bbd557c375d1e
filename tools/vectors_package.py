"""Makes docs/spec/vectors/package.json: shares, encapsulation, blinding, chunks, hashes, a whole package."""

# ruff: noqa: INP001 - beside a program, not in a package

import tempfile
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sealcast.core.secret import Secret
from sealcast.device.chains import ESCROW_ROLE
from sealcast.keys.rsakem import RsaPublic, blind, encapsulate, unblind, wrap_share
from sealcast.keys.shamir import split
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import TYP_ESCROW_KEY, KeyDocument
from sealcast.messages.jwk import native_public_key, new_sealing_pair, new_signing_pair
from sealcast.messages.package import PackageEscrow
from sealcast.sealpack.chunks import ChunkCipher, digest, sealed_bytes, tops_of
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Seller, Terms, draft, write_package
from sealcast.sealpack.sharing import commitment
from sealcast.server.certificates import certificate_builder, make_ca, make_issuer, read_ca
from sealcast.server.issuing import Issuer
from sealcast.testing import SimRandom

Content = dict[str, Any]
WALL_MS = 1_800_000_000_000
DAYS = 365
PACKAGE_ID, CONTENT_KEY = bytes(range(16)), Secret(bytes(range(64, 96)))
CHUNKS = (
    ("the first of several", 0, b"the first words", False),
    ("the last", 2**33 + 1, b"the end", True),
    ("of empty content", 0, b"", True),
)
LEAVES = 258
SHARINGS = (("alone", 1, (1,)), ("two of two", 2, (1, 2)), ("three of five", 3, (1, 2, 3, 200, 255)))


class Kept(Protocol):
    """What the file holds already (`make_vectors.Kept`)."""

    def get(self, group: str, name: str, field: str, make: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a field of an entry; made where there is none."""


def package_vectors(kept: Kept) -> Content:
    """Return everything; keys, certificates and the whole package are made once and kept."""
    key = rsa_key(kept)
    return {
        "source": "Sealcast's own: docs/spec/package.md. The private key opens nothing else.",
        "keys": [key],
        "shared": [_shared(*each) for each in SHARINGS],
        "encapsulated": [_encapsulated(key, number) for number in (1, 255)],
        "chunks": [_chunk(*each) for each in CHUNKS],
        "trees": [_tree()],
        "files": [_file(kept, key)],
    }


def rsa_key(kept: Kept) -> Content:
    """Return the one RSA key, made once."""
    made: list[rsa.RSAPrivateNumbers] = []

    def part(name: str) -> str:
        if not made:
            made.append(rsa.generate_private_key(65_537, 3_072).private_numbers())
        numbers = made[0]
        value = {"modulus": numbers.public_numbers.n, "exponent_private": numbers.d}[name]
        return f"{value:0768x}"

    return {
        "name": "escrow",
        "modulus": kept.get("keys", "escrow", "modulus", lambda: part("modulus")),
        "private": kept.get("keys", "escrow", "private", lambda: part("exponent_private")),
    }


def _shared(name: str, threshold: int, numbers: tuple[int, ...]) -> Content:
    """Return shares of the content key."""
    shares = split(CONTENT_KEY, threshold, numbers, SimRandom(f"vectors/{name}"))
    return {
        "name": name,
        "threshold": threshold,
        "secret": CONTENT_KEY.reveal().hex(),
        "package": PACKAGE_ID.hex(),
        "shares": [
            {
                "number": number,
                "value": share.reveal().hex(),
                "hash": commitment(PACKAGE_ID, number, share).hex(),
            }
            for number, share in shares.items()
        ],
    }


def _encapsulated(key: Content, number: int) -> Content:
    """Return one share as an escrow's part has it, and a blind opening of it."""
    random = SimRandom(f"vectors/encapsulated/{number}")
    public = RsaPublic(int(key["modulus"], 16))
    share = split(CONTENT_KEY, 1, (number,), random)[number]
    z, encapsulation = encapsulate(public, random)
    asked = blind(public, encapsulation, random)
    root = pow(int.from_bytes(asked.blinded, "big"), int(key["private"], 16), public.modulus)
    answer = public.pack(root)
    if unblind(public, encapsulation, asked.r, answer) != z:
        raise ValueError("the blind opening does not give z")
    return {
        "name": f"share {number}",
        "key_id": public.key_id,
        "package": PACKAGE_ID.hex(),
        "number": number,
        "value": share.reveal().hex(),
        "z": z.reveal().hex(),
        "encapsulation": encapsulation.hex(),
        "wrapped": wrap_share(z, PACKAGE_ID, number, share).hex(),
        "r": asked.r.reveal().hex(),
        "question": asked.blinded.hex(),
        "answer": answer.hex(),
    }


def _chunk(name: str, number: int, content: bytes, is_last: bool) -> Content:  # noqa: FBT001 - a row
    sealed = bytearray(sealed_bytes(len(content)))
    ChunkCipher(CONTENT_KEY, PACKAGE_ID).seal(number, content, sealed, is_last=is_last)
    return {
        "name": name,
        "content_key": CONTENT_KEY.reveal().hex(),
        "package": PACKAGE_ID.hex(),
        "chunk": number,
        "is_last": is_last,
        "content": content.hex(),
        "sealed": sealed.hex(),
        "hash": digest(sealed).hex(),
    }


def _tree() -> Content:
    """Return the root over leaves that stand for chunks of their numbers, as u64."""
    leaves = b"".join(digest(number.to_bytes(8, "big")) for number in range(LEAVES))
    tops = tops_of(leaves)
    root = digest(tops)
    return {"name": "leaf i is of i u64", "leaves": LEAVES, "value": tops.hex(), "hash": root.hex()}


def _file(kept: Kept, key: Content) -> Content:
    """Return a whole package of five bytes, with what opens it."""
    made: list[Content] = []

    def field(name: str) -> str:
        if not made:
            made.append(_pack(key))
        return str(made[0][name])

    names = ("ca", "content", "content_key", "packet")
    return {"name": "five bytes"} | {
        each: kept.get("files", "five bytes", each, lambda each=each: field(each)) for each in names
    }


def _pack(key: Content) -> Content:
    random, wall_ns = SimRandom("vectors/package"), WALL_MS * 10**6
    ca = make_ca("example", random, wall_ns)
    issuer = Issuer(make_issuer(ca, "example", random, wall_ns), "example", random, days=DAYS)
    signing, kek, escrow = new_signing_pair(random), new_sealing_pair(random), new_signing_pair(random)
    issued = issuer.certify(
        id="studio", role="seller", signing=signing.public(), kek=kek.public(), wall_ms=WALL_MS
    )
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "example"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ESCROW_ROLE),
            x509.NameAttribute(NameOID.COMMON_NAME, "escrow-1"),
        ]
    )
    public = native_public_key(escrow.public())
    builder = certificate_builder(subject, public, random=random, wall_ns=wall_ns, days=DAYS)
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    certificate = read_ca(ca).sign(builder.add_extension(constraints, critical=True))
    document = KeyDocument(
        version=1,
        escrow="escrow-1",
        operator="example",
        key=RsaPublic(int(key["modulus"], 16)).key_id,
        modulus=bytes.fromhex(key["modulus"]),
        exponent=65_537,
        seller="studio",
        price_class="film",
        price_micro=4_990_000,
        currency="EUR",
        servers=["https://escrow.example:8446"],
        created_at_ms=WALL_MS,
    )
    packed = PackageEscrow(
        key=jose.sign(encode(document), escrow, kid="escrow-1", typ=TYP_ESCROW_KEY),
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
    )
    ca_pem, content = ca.certificate_pem.decode(), b"hello"
    seller = Seller("studio", "example", issued.certificates, signing, ca_pem)
    terms = Terms("Five bytes", "five.txt", "text/plain", (packed,), 1)
    ready = draft(terms, len(content), seller, random, WALL_MS)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "five.txt", Path(folder) / "five.sealpack"
        source.write_bytes(content)
        with NewFile(target) as file:
            write_package(ready, source, file)
            file.keep()
        packet = target.read_bytes().hex()
    return {
        "ca": ca_pem,
        "content": content.hex(),
        "content_key": ready.content_key.reveal().hex(),
        "packet": packet,
    }
