"""Verifies package.json for verify.py: written from package.md and the BLAKE3 paper, no line of Sealcast."""

# ruff: noqa: INP001 - beside a program, not in a package

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Json = dict[str, Any]

PRIME = 2**521 - 1
EXPONENT = 65_537
GROUP = 256 * 32
IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
START, END, PARENT, ROOT = 1, 2, 4, 8
CHUNK, BLOCK, WORD = 1_024, 64, 2**32


def verify_package(content: Json) -> int:
    """Verify everything; return how many. Raises ValueError or KeyError where one does not fit."""
    key = content["keys"][0]
    n, d = int(key["modulus"], 16), int(key["private"], 16)
    for groups, verify in (
        ("shared", _shared),
        ("encapsulated", lambda each: _encapsulated(each, n)),
        ("chunks", _chunk),
        ("trees", _tree),
        ("files", lambda each: _file(each, n, d)),
    ):
        for each in content[groups]:
            verify(each)
    return sum(len(each) for each in content.values() if isinstance(each, list))


def expect(what: str, *, holds: bool) -> None:
    """Raise ValueError unless a claim holds."""
    if not holds:
        raise ValueError(what)


def _shared(each: Json) -> None:
    """Any shares of the threshold give the secret: the first ones, and the last."""
    shares = [(share["number"], int(share["value"], 16)) for share in each["shares"]]
    for share in each["shares"]:
        told = bytes.fromhex(each["package"]) + bytes([share["number"]]) + bytes.fromhex(share["value"])
        expect("a commitment", holds=hashlib.sha256(told).hexdigest() == share["hash"])
    threshold = each["threshold"]
    for chosen in (shares[:threshold], shares[-threshold:], shares):
        total = 0
        for x, y in chosen:
            factor = 1
            for other, _ in chosen:
                if other != x:
                    factor = factor * other * pow(other - x, -1, PRIME) % PRIME
            total = (total + y * factor) % PRIME
        expect("a secret", holds=total == int(each["secret"], 16))


def _encapsulated(each: Json, n: int) -> None:
    """Blind and unblind as the device does, and unwrap the share."""
    r, question, answer = (int(each[name], 16) for name in ("r", "question", "answer"))
    encapsulation = int(each["encapsulation"], 16)
    expect("the question", holds=encapsulation * pow(r, EXPONENT, n) % n == question)
    expect("the answer", holds=pow(answer, EXPONENT, n) == question)
    z = answer * pow(r, -1, n) % n
    expect("z", holds=z == int(each["z"], 16) and pow(z, EXPONENT, n) == encapsulation)
    share = _unwrap(z, n, each["package"], each["number"], each["wrapped"])
    expect("the share", holds=share.hex() == each["value"])
    members = json.dumps({"e": "AQAB", "kty": "RSA", "n": _b64(_packed(n))}, separators=(",", ":"))
    expect("the key's name", holds=_b64(hashlib.sha256(members.encode()).digest()) == each["key_id"])


def _unwrap(z: int, n: int, package: str, number: int, wrapped: str) -> bytes:
    info = b"sealcast share 1" + bytes.fromhex(package) + bytes([number])
    kek = _hkdf(z.to_bytes(len(_packed(n)), "big"), b"", info)
    return keywrap.aes_key_unwrap_with_padding(kek, bytes.fromhex(wrapped))


def _chunk(each: Json) -> None:
    sealed, number = bytes.fromhex(each["sealed"]), each["chunk"]
    content = _open(each["content_key"], each["package"], number, sealed, is_last=each["is_last"])
    expect("a chunk's content", holds=content.hex() == each["content"])
    expect("a chunk's leaf", holds=blake3(sealed).hex() == each["hash"])


def _open(content_key: str, package: str, number: int, sealed: bytes, *, is_last: bool) -> bytes:
    key = _hkdf(bytes.fromhex(content_key), bytes.fromhex(package), b"sealcast chunks 1")
    nonce = bytes(3) + number.to_bytes(8, "big") + bytes([is_last])
    return AESGCM(key).decrypt(nonce, sealed, None)


def _tree(each: Json) -> None:
    leaves = b"".join(blake3(number.to_bytes(8, "big")) for number in range(each["leaves"]))
    tops = b"".join(blake3(leaves[at : at + GROUP]) for at in range(0, len(leaves), GROUP))
    expect("the tops", holds=tops.hex() == each["value"])
    expect("the root", holds=blake3(tops).hex() == each["hash"])


def _file(each: Json, n: int, d: int) -> None:
    """Take a package of one chunk apart, check who signed it, and open it as device and escrow do."""
    file = bytes.fromhex(each["packet"])
    magic, version, zero, length = struct.unpack(">8sHHI", file[:16])
    expect("the prefix", holds=(magic, version, zero) == (b"SEALPACK", 1, 0))
    token, rest = file[16 : 16 + length].decode(), file[16 + length :]
    tops, leaves, sealed = rest[:32], rest[32:64], rest[64:]
    header = _signed(token, "sealcast-package", lambda body: body["certificates"]["signing"])
    ca = x509.load_pem_x509_certificate(each["ca"].encode())
    issuer = x509.load_pem_x509_certificate(header["certificates"]["issuer"].encode())
    issuer.verify_directly_issued_by(ca)
    for use in ("signing", "kek"):
        certificate = x509.load_pem_x509_certificate(header["certificates"][use].encode())
        certificate.verify_directly_issued_by(issuer)
    escrow = header["escrows"][0]
    x509.load_pem_x509_certificate(escrow["certificate"].encode()).verify_directly_issued_by(ca)
    document = _signed(escrow["key"], "sealcast-escrow-key", lambda _: escrow["certificate"])
    expect("whose key", holds=document["seller"] == header["seller"] == "studio")
    expect("the modulus", holds=int.from_bytes(base64.b64decode(document["modulus"]), "big") == n)
    expect("the root", holds=blake3(tops) == base64.b64decode(header["root"]))
    expect("the top", holds=blake3(leaves) == tops)
    expect("the leaf", holds=blake3(sealed) == leaves)
    expect("the length", holds=len(sealed) == header["size"] + 16)
    part, package = header["parts"][0], _unb64(header["id"]).hex()
    z = pow(int.from_bytes(base64.b64decode(part["encapsulation"]), "big"), d, n)
    share = _unwrap(z, n, package, part["number"], base64.b64decode(part["wrapped"]).hex())
    told = hashlib.sha256(bytes.fromhex(package) + bytes([part["number"]]) + share).digest()
    expect("the commitment", holds=told == base64.b64decode(part["commitment"]))
    expect("the content key", holds=share.hex() == each["content_key"].rjust(132, "0"))
    key = b"sealcast content key 1" + bytes.fromhex(package + each["content_key"])
    told = hashlib.sha256(key).digest()
    expect("the commitment to it", holds=told == base64.b64decode(header["key_commitment"]))
    content = _open(each["content_key"], package, 0, sealed, is_last=True)
    expect("the content", holds=content.hex() == each["content"])


def _signed(token: str, typ: str, certificate_of: Any) -> Json:  # noqa: ANN401 - a function
    """Return what a JWS says, by the key in the certificate that belongs to it."""
    head, body, signature = token.split(".")
    said: Json = json.loads(_unb64(body))
    told = json.loads(_unb64(head))
    expect("the kind of a JWS", holds=(told["alg"], told["typ"]) == ("Ed25519", typ))
    key = x509.load_pem_x509_certificate(certificate_of(said).encode()).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("a key of another kind")  # noqa: TRY004 - what verify.py reports
    key.verify(_unb64(signature), f"{head}.{body}".encode())
    return said


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, 32 bytes."""
    return hmac.digest(hmac.digest(salt or bytes(32), key, "sha256"), info + b"\1", "sha256")


def _packed(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def blake3(data: bytes) -> bytes:
    """Return the 32 bytes of BLAKE3 (section 2 of its paper), without a key."""
    return struct.pack("<8I", *_subtree(data, 0, is_root=True))


def _subtree(data: bytes, counter: int, *, is_root: bool) -> list[int]:
    """Return the chaining value over chunks from `counter` on."""
    if len(data) <= CHUNK:
        return _chunk_value(data, counter, is_root=is_root)
    left = CHUNK
    while left * 2 < len(data):
        left *= 2
    words = _subtree(data[:left], counter, is_root=False)
    words += _subtree(data[left:], counter + left // CHUNK, is_root=False)
    return _compress(IV, words, (0, BLOCK, PARENT | ROOT * is_root))


def _chunk_value(data: bytes, counter: int, *, is_root: bool) -> list[int]:
    value = list(IV)
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    for place, block in enumerate(blocks):
        flags = START * (place == 0)
        if place == len(blocks) - 1:
            flags |= END | ROOT * is_root
        words = list(struct.unpack("<16I", block.ljust(BLOCK, b"\0")))
        value = _compress(value, words, (counter, len(block), flags))
    return value


def _compress(value: Any, words: list[int], about: tuple[int, int, int]) -> list[int]:  # noqa: ANN401 - words
    counter, length, flags = about
    v = [*value, *IV[:4], counter % WORD, counter >> 32, length, flags]
    for _ in range(7):
        for place, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            for word, turn, other in ((words[2 * place], 16, 12), (words[2 * place + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) % WORD
                v[d] = _turned(v[d] ^ v[a], turn)
                v[c] = (v[c] + v[d]) % WORD
                v[b] = _turned(v[b] ^ v[c], other)
        words = [words[at] for at in ORDER]
    return [low ^ high for low, high in zip(v[:8], v[8:], strict=True)]


def _turned(word: int, bits: int) -> int:
    return word >> bits | word << 32 - bits & WORD - 1
