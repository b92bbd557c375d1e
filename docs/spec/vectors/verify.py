"""Verifies the vectors beside it with the standard library and `cryptography` alone: no line of Sealcast.

    python verify.py        one line for each file; exit status 1 if anything does not fit

Everything here is written from the RFCs, wire.md and messages.md: a second implementation to read.
"""

# ruff: noqa: INP001 - a program, not a package

import base64
import hashlib
import hmac
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE, APART = Path(__file__).parent, ("scramble", "asking", "package")
SIGNS = {"oct": "HS256", "Ed25519": "Ed25519", "P-256": "ES256"}
RECEIVES = {"oct": "A256KW", "X25519": "ECDH-ES+A256KW", "P-256": "ECDH-ES+A256KW", "RSA": "RSA-OAEP-256"}
NONCE_VALID_MS, NONCE_AHEAD_MS = 120_000, 5_000
ENTRIES = {1: "CURRENT", 2: "NEXT", 3: "WINDOW", 4: "COUNTERS", 5: "KEY_SERVER", 6: "REKEY", 127: "SIGNATURE"}

Json = dict[str, Any]


class MismatchError(Exception):
    """A vector does not fit."""


FAULTS = (MismatchError, InvalidTag, InvalidSignature, keywrap.InvalidUnwrap, ValueError, KeyError)
"""What a vector that does not fit raises."""


def main() -> int:
    """Verify every file; print a line for each."""
    status = 0
    for name, verify in FILES.items():
        try:
            count = verify(json.loads((HERE / name).read_text(encoding="utf-8")))
        except FAULTS as error:
            status = 1
            sys.stdout.write(f"{name}: does not fit: {error or type(error).__name__}\n")
        else:
            sys.stdout.write(f"{name}: {count} fit\n")
    left_out = {path.name for path in HERE.glob("*.json")} - set(FILES)
    if left_out:
        sys.stdout.write(f"not verified: {', '.join(sorted(left_out))}\n")
    return 1 if left_out else status


def same(what: str, made: bytes, told: str) -> None:
    """Raise MismatchError unless bytes are what a vector says in hexadecimal."""
    if made.hex() != told:
        raise MismatchError(f"{what} is {made.hex()}, not {told}")


def expect(what: str, *, holds: bool) -> None:
    """Raise MismatchError unless a claim holds."""
    if not holds:
        raise MismatchError(what)


# SRTP and SRTCP: RFC 3711, RFC 7714, wire.md


def derive(master_key: bytes, master_salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 §4.3.1 and §4.3.3 at a key derivation rate of 0; a salt of 12 is padded (RFC 7714 §11)."""
    x = int.from_bytes(master_salt.ljust(14, b"\0"), "big") ^ label << 48
    counter = (x << 16).to_bytes(16, "big")
    return Cipher(algorithms.AES(master_key), modes.CTR(counter)).encryptor().update(bytes(size))


def rtp_iv(salt: bytes, packet: bytes, roc: int) -> bytes:
    """RFC 7714 §8.1."""
    parts = bytes(2) + packet[8:12] + roc.to_bytes(4, "big") + packet[2:4]
    return bytes(a ^ b for a, b in zip(parts, salt, strict=True))


def rtcp_iv(salt: bytes, packet: bytes, index: int) -> bytes:
    """RFC 7714 §9.1."""
    parts = bytes(2) + packet[4:8] + bytes(2) + index.to_bytes(4, "big")
    return bytes(a ^ b for a, b in zip(parts, salt, strict=True))


def open_rtp(key: bytes, salt: bytes, sealed: bytes, roc: int) -> bytes:
    """Return the payload of a packet with a header of 12, without its MKI."""
    return AESGCM(key).decrypt(rtp_iv(salt, sealed, roc), sealed[12:], sealed[:12])


def open_rtcp(key: bytes, salt: bytes, sealed: bytes) -> tuple[bytes, int]:
    """Return the compound of a packet without its MKI, and its index (RFC 7714 §9.2, §9.3)."""
    body, word = sealed[:-4], int.from_bytes(sealed[-4:], "big")
    index, clear = word & 0x7FFFFFFF, 8 if word >> 31 else len(body) - 16
    iv = rtcp_iv(salt, sealed, index)
    return body[:clear] + AESGCM(key).decrypt(iv, body[clear:], body[:clear] + sealed[-4:]), index


def verify_rfc7714(file: Json) -> int:
    """Open the packets of RFC 7714 §16 and §17."""
    for each in file["srtp"]:
        key, salt, sealed = (bytes.fromhex(each[name]) for name in ("key", "salt", "sealed"))
        same("iv", rtp_iv(salt, sealed, each["roc"]), each["iv"])
        same("packet", sealed[:12] + open_rtp(key, salt, sealed, each["roc"]), each["packet"])
    for each in file["srtcp"]:
        key, salt, sealed = (bytes.fromhex(each[name]) for name in ("key", "salt", "sealed"))
        compound, index = open_rtcp(key, salt, sealed)
        same("compound", compound, each["packet"])
        same("iv", rtcp_iv(salt, sealed, index), each["iv"])
        expect("index and E bit", holds=(index, bool(sealed[-4] >> 7)) == (each["index"], each["encrypted"]))
    return len(file["srtp"]) + len(file["srtcp"])


def verify_derivation(file: Json) -> int:
    """Derive the keys of RFC 3711 §B.3 and RFC 6188 §7."""
    for each in file["derivations"]:
        key, salt = bytes.fromhex(each["master_key"]), bytes.fromhex(each["master_salt"])
        for output in each["outputs"]:
            size = len(output["value"]) // 2
            same(f"label {output['label']}", derive(key, salt, output["label"], size), output["value"])
    return sum(len(each["outputs"]) for each in file["derivations"])


def verify_packets(file: Json) -> int:
    """Open data and control packets from the master key on."""
    for each in file["packets"]:
        master = bytes.fromhex(each["master_key"]), bytes.fromhex(each["master_salt"])
        keys = {
            name: (derive(*master, label, len(master[0])), derive(*master, label + 2, 12))
            for name, label in (("rtp", 0), ("rtcp", 3))
        }
        for name, (key, salt) in keys.items():
            same(f"{name}_key", key, each[f"{name}_key"])
            same(f"{name}_salt", salt, each[f"{name}_salt"])
        data, control = bytes.fromhex(each["data"]), bytes.fromhex(each["control"])
        same("MKI of data", data[-8:], each["mki"])
        same("MKI of control", control[-8:], each["mki"])
        same("header", data[:12], each["header"])
        same("data_iv", rtp_iv(keys["rtp"][1], data, each["roc"]), each["data_iv"])
        same("payload", open_rtp(*keys["rtp"], data[:-8], each["roc"]), each["payload"])
        compound, index = open_rtcp(*keys["rtcp"], control[:-8])
        same("control_iv", rtcp_iv(keys["rtcp"][1], control, index), each["control_iv"])
        expect("control_index", holds=index == each["control_index"])
        same("compound", compound, seal_compound(read("seal.json")).hex())
    return 2 * len(file["packets"])


# SEAL packets, as wire.md has them


def seal_compound(file: Json) -> bytes:
    """Return the compound of seal.json in one piece."""
    return bytes.fromhex("".join(file["compound"]))


def verify_seal(file: Json) -> int:
    """Take the compound and its APP apart, and verify the signature."""
    compound = seal_compound(file)
    packets = {}
    at = 0
    while at < len(compound):
        size = 4 * (int.from_bytes(compound[at + 2 : at + 4], "big") + 1)
        packets[compound[at + 1]] = compound[at : at + size]
        at += size
    expect("SR, SDES, BYE, APP in this order", holds=list(packets) == [200, 202, 203, 204])
    app = packets[204]
    expect("APP is SEAL of the same SSRC", holds=app[8:12] == b"SEAL" and app[4:8] == compound[4:8])
    entries, at = {}, 12
    while at < len(app):
        kind, size = int.from_bytes(app[at : at + 2], "big"), int.from_bytes(app[at + 2 : at + 4], "big")
        entries[ENTRIES[kind]] = app[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    expect("every entry, the signature last", holds=list(entries) == list(ENTRIES.values()))
    same("key ID", entries["CURRENT"][:8], file["key_id"])
    signed = compound[: -4 - 64] + entries["CURRENT"][:8] + file["index"].to_bytes(4, "big")
    public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(file["private_key"])).public_key()
    same("public key", public.public_bytes_raw(), file["public_key"])
    public.verify(entries["SIGNATURE"], b"sealcast SEAL 1" + signed)
    return len(entries)


# JWS and JWE: RFC 7515 to 7518, RFC 8037, RFC 9864, messages.md


def b64(text: str) -> bytes:
    """Read base64url without padding; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def kind_of(key: Json) -> str:
    """Return the curve of a key, or what else it is."""
    return str(key.get("crv", key["kty"]))


def p256(key: Json) -> ec.EllipticCurvePublicKey:
    """Return a public key of P-256."""
    x, y = (int.from_bytes(b64(key[name]), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def open_jws(token: str, key: Json, typ: str) -> bytes:
    """Return the payload; raises MismatchError or InvalidSignature. The key says the algorithm."""
    head, body, signature = token.split(".")
    header = json.loads(b64(head))
    expect(
        "alg is the key's, typ the place's",
        holds=(header["alg"], header["typ"]) == (SIGNS[kind_of(key)], typ),
    )
    signed, mark = f"{head}.{body}".encode(), b64(signature)
    if header["alg"] == "HS256":
        made = hmac.digest(b64(key["k"]), signed, "sha256")
        expect("the MAC", holds=hmac.compare_digest(made, mark))
    elif header["alg"] == "Ed25519":
        Ed25519PublicKey.from_public_bytes(b64(key["x"])).verify(mark, signed)
    else:
        r, s = int.from_bytes(mark[:32], "big"), int.from_bytes(mark[32:], "big")
        expect("64 bytes of signature", holds=len(mark) == 64)
        p256(key).verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    return b64(body)


def verify_jws(file: Json) -> int:
    """Verify signed requests, and that other tokens do not verify."""
    for each in file["signed"]:
        payload = open_jws(each["token"], each["key"], file["typ"])
        expect(f"the payload of {each['name']}", holds=payload.decode() == each["payload"])
        header = json.loads(b64(each["token"].split(".")[0]))
        expect("the kid", holds=header["kid"] == file["kid"])
    for each in file["refused"]:
        try:
            open_jws(each["token"], each["key"], file["typ"])
        except (MismatchError, InvalidSignature):
            continue
        raise MismatchError(f"{each['name']} verifies, and must not")
    return len(file["signed"]) + len(file["refused"])


def verify_erasure(file: Json) -> int:
    """Verify erasure statements, and the receipts for them."""
    for each in file["withdrawn"]:
        payload = open_jws(each["statement"]["token"], each["key"], "sealcast-erasure").decode()
        expect(f"the statement {each['name']}", holds=payload == each["statement"]["payload"])
        proof = open_jws(each["receipt"]["token"], file["server_key"], "sealcast-receipt").decode()
        expect(f"the receipt for {each['name']}", holds=proof == each["receipt"]["payload"])
        digest = hashlib.sha256(each["statement"]["token"].encode()).hexdigest()
        expect("which statement it is for", holds=json.loads(proof)["statement_sha256"] == digest)
    return len(file["withdrawn"])


def agreed_key(key: Json, header: Json) -> bytes:
    """Return the key that wraps the content key: ECDH, then the Concat KDF (RFC 7518 §4.6.2)."""
    epk = header["epk"]
    if kind_of(key) == "X25519":
        private = X25519PrivateKey.from_private_bytes(b64(key["d"]))
        shared = private.exchange(X25519PublicKey.from_public_bytes(b64(epk["x"])))
    else:
        scalar = int.from_bytes(b64(key["d"]), "big")
        shared = ec.derive_private_key(scalar, ec.SECP256R1()).exchange(ec.ECDH(), p256(epk))
    names = (header["alg"].encode(), b64(header.get("apu", "")), b64(header.get("apv", "")))
    other = b"".join(len(each).to_bytes(4, "big") + each for each in names) + (256).to_bytes(4, "big")
    return hashlib.sha256((1).to_bytes(4, "big") + shared + other).digest()


def rsa_private(key: Json) -> rsa.RSAPrivateKey:
    """Return an RSA pair (RFC 7518 §6.3)."""
    n, e, d, p, q, dp, dq, qi = (
        int.from_bytes(b64(key[name]), "big") for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
    )
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def content_key(key: Json, header: Json, encrypted_key: bytes) -> bytes:
    """Return the content key of a JWE."""
    if header["alg"] == "dir":
        expect("no encrypted key", holds=not encrypted_key)
        return b64(key["k"])
    expect("alg is the key's", holds=header["alg"] == RECEIVES[kind_of(key)])
    if header["alg"] == "RSA-OAEP-256":
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return rsa_private(key).decrypt(encrypted_key, oaep)
    kek = b64(key["k"]) if header["alg"] == "A256KW" else agreed_key(key, header)
    return keywrap.aes_key_unwrap(kek, encrypted_key)


def open_jwe(token: str, key: Json, typ: str) -> bytes:
    """Return the plaintext; raises MismatchError or InvalidTag."""
    head, *rest = token.split(".")
    encrypted_key, iv, ciphertext, tag = (b64(part) for part in rest)
    header = json.loads(b64(head))
    expect("enc and typ", holds=(header["enc"], header["typ"]) == ("A256GCM", typ))
    cek = content_key(key, header, encrypted_key)
    return AESGCM(cek).decrypt(iv, ciphertext + tag, head.encode())


def passphrase_key(token: str, passphrase: str) -> Json:
    """Return the key that follows from a passphrase as the header says (RFC 7914)."""
    how = json.loads(b64(token.partition(".")[0]))["scrypt"]
    derived = hashlib.scrypt(
        passphrase.encode(),
        salt=b64(how["salt"]),
        n=how["n"],
        r=how["r"],
        p=how["p"],
        maxmem=1 << 28,
        dklen=32,
    )
    return {"kty": "oct", "k": base64.urlsafe_b64encode(derived).decode().rstrip("=")}


def verify_jwe(file: Json) -> int:
    """Open answers to each kind of recipient, with the server's signature inside, and vaults."""
    for each in file["sealed"]:
        inner = open_jwe(each["token"], each["key"], each["typ"]).decode()
        if "inner" not in each:
            expect(f"the plaintext of {each['name']}", holds=inner == each["plaintext"])
            continue
        expect(f"the JWS inside {each['name']}", holds=inner == each["inner"])
        payload = open_jws(inner, each["server_key"], "sealcast-answer")
        expect(f"the answer in {each['name']}", holds=payload.decode() == each["plaintext"])
    for each in file["vaults"]:
        key = each["key"] if "key" in each else passphrase_key(each["token"], each["passphrase"])
        plaintext = open_jwe(each["token"], key, each["typ"])
        expect(f"what {each['name']} holds", holds=plaintext.decode() == each["plaintext"])
    return len(file["sealed"]) + len(file["vaults"])


# Nonces and invitations: and keys at rest: messages.md


def is_good_nonce(key: bytes, nonce: str, wall_ms: int) -> bool:
    """Whether a server takes a nonce at an instant."""
    data = b64(nonce)
    time, tag = data[:8], data[8:]
    made = hmac.digest(key, b"sealcast nonce 1" + time, "sha256")[:16]
    age_ms = wall_ms - int.from_bytes(time, "big")
    return hmac.compare_digest(made, tag) and -NONCE_AHEAD_MS <= age_ms <= NONCE_VALID_MS


def verify_nonces(file: Json) -> int:
    """Judge nonces, good and not, and make the hash of an invitation's token."""
    for each in file["nonces"]:
        good = is_good_nonce(bytes.fromhex(file["key"]), each["nonce"], each["wall_ms"])
        expect(f"the nonce {each['name']}", holds=good == each["good"])
    invitation = file["invitation"]
    digest = hashlib.sha256(b"sealcast invitation 1" + invitation["token"].encode()).digest()
    same("the hash of a token", digest, invitation["hash"])
    return len(file["nonces"]) + 1


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, without salt, 32 bytes."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def verify_at_rest(file: Json) -> int:
    """Derive keys from the master key, and unwrap what is under them."""
    master, vault = bytes.fromhex(file["master_key"]), file["server_vault"]
    same("the server vault's key", hkdf(master, vault["info"].encode()), vault["key"])
    for each in file["rows"]:
        key = hkdf(master, each["label"].encode() + bytes.fromhex(each["row"]))
        same("row_key", key, each["row_key"])
        wrapped = bytes.fromhex(each["wrapped"])
        same(each["name"], keywrap.aes_key_unwrap_with_padding(key, wrapped), each["secret"])
    return 1 + len(file["rows"])


def read(name: str) -> Json:
    """Return the content of a file beside this one."""
    return dict(json.loads((HERE / name).read_text(encoding="utf-8")))


FILES: dict[str, Callable[[Json], int]] = {
    "rfc7714.json": verify_rfc7714,
    "srtp-derivation.json": verify_derivation,
    "sealcast.json": verify_packets,
    "seal.json": verify_seal,
    "jws.json": verify_jws,
    "jwe.json": verify_jwe,
    "erasure.json": verify_erasure,
    "nonces.json": verify_nonces,
    "at-rest.json": verify_at_rest,
    **{f"{one}.json": runpy.run_path(str(HERE / f"verify_{one}.py"))[f"verify_{one}"] for one in APART},
}


if __name__ == "__main__":
    sys.exit(main())
