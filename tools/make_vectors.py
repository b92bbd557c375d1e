"""Writes docs/spec/vectors: what Sealcast makes of fixed keys, for other implementations to be held against.

    PYTHONPATH=src python tools/make_vectors.py          writes what is not there or has changed
    PYTHONPATH=src python tools/make_vectors.py --check  writes nothing; exit status 1 if a file would change

Tokens that hold randomness of their own (every JWE, ES256) are made once and kept; all else is made anew each
time. The published vectors of the RFCs (rfc7714.json, srtp-derivation.json) are typed in by hand, not here.
"""

# ruff: noqa: INP001, SLF001 - a program, not a package; it shows what stays inside

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from vectors_asking import asking_vectors
from vectors_erasure import erasure_vectors
from vectors_package import package_vectors
from vectors_scramble import scramble_vectors

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.device.passphrase import Derivation, derive, passphrase_of
from sealcast.keyserver.store_principals import LABEL_KEK, LABEL_MAC
from sealcast.keyserver.wrapped import LABEL_TEK
from sealcast.messages import jose, jwk, nonces
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.enrolment import token_hash
from sealcast.messages.sealedanswers import seal_answer
from sealcast.server.state import VAULT_LABEL
from sealcast.storage import wrapping
from sealcast.testing import SimRandom
from sealcast.wire import rtp, seal, srtcp, srtp
from sealcast.wire.sealing import Sealer

VECTORS = Path(__file__).parents[1] / "docs" / "spec" / "vectors"
OURS = "Sealcast's own"
PLAINTEXT = '{"jti": "AAECAwQFBgcICQoLDA0ODw", "note": "Gr\u00fc\u00dfe"}'
SSRC, TIMESTAMP, ROC, SEQ = 0x5EA1CA57, 90_000, 2, 65_530
CONTROL_INDEX = 9
KEY_ID = KeyId(ChannelNumber(7), Epoch(3))
WALL_MS = 1_700_000_000_000
SEAL_LINES = (
    (8,) * 7, (8,) * 6, (8, 8), (8, 8, 8),
    (8, 16, 8, 8, 8), (8, 16, 8), (8, 8, 8), (8, 8, 4, 4), (8, 50, 6), (8, 6, 2), (8, 128),
)  # fmt: skip
"""Hexadecimal digits of each word: one line for each packet, then one for each entry."""

Content = dict[str, Any]


class Kept:
    """What a file holds already: things that are random are not made again."""

    def __init__(self, present: Content) -> None:
        self._present = present

    def get(self, group: str, name: str, field: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """Return a field of the entry of that name; made where there is none."""
        found = [each[field] for each in self._present.get(group, ()) if each["name"] == name]
        return found[0] if found else make()


def main(arguments: list[str]) -> int:
    """Write every file, or with `--check` say which would change."""
    changed = 0
    for name, make in FILES.items():
        path = VECTORS / name
        before = path.read_text() if path.exists() else "{}"
        after = json.dumps(make(Kept(json.loads(before))), indent=2, ensure_ascii=False) + "\n"
        if before != after:
            changed += 1
            sys.stdout.write(f"{name} {'would change' if '--check' in arguments else 'written'}\n")
            if "--check" not in arguments:
                path.write_text(after)
    return int("--check" in arguments and changed > 0)


def seal_vectors(_: Kept) -> Content:
    """Return one SEAL compound with every entry, signed with the key of RFC 8032 §7.1 test 1."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = Ed25519PrivateKey.from_private_bytes(private)
    compound, lines, at = _compound(key).hex(), [], 0
    for widths in SEAL_LINES:
        words = []
        for width in widths:
            words.append(compound[at : at + width])
            at += width
        lines.append(" ".join(words))
    return {
        "source": f"{OURS}: the example of docs/spec/wire.md. One line of the compound is one packet, or one "
        "entry of the last.",
        "private_key": private.hex(),
        "public_key": key.public_key().public_bytes_raw().hex(),
        "key_id": str(KEY_ID),
        "index": CONTROL_INDEX,
        "cname": "s1.example",
        "compound": lines,
    }


def _compound(key: Ed25519PrivateKey) -> bytes:
    content = seal.Seal(
        ssrc=SSRC,
        current=KEY_ID,
        remaining_ms=4_000,
        lifetime_ms=5_000,
        roc=ROC,
        seq=SEQ,
        extended=True,
        next=seal.NextKey(KeyId(KEY_ID.channel, Epoch(4)), 4_000),
        window=seal.SealWindow(1_000, 3_000),
        key_servers=("https://keys.example:8443",),
        rekeys=(b"\1\2\3",),
        bye=True,
    )
    counts = seal.SenderCounts(TIMESTAMP, 1_000, 1_316_000)
    return seal.build_seal(content, counts, "s1.example", srtcp.index_word(CONTROL_INDEX), key.sign)


def packet_vectors(_: Kept) -> Content:
    """Return one data packet and one control packet for each suite, from the master key on."""
    return {
        "source": f"{OURS}: one data packet and one control packet with their MKI. The control packet "
        "carries the compound of seal.json.",
        "packets": [_packets("aes-128-gcm", 16), _packets("aes-256-gcm", 32)],
    }


def _packets(suite: str, key_bytes: int) -> Content:
    master = Secret(bytes(range(0xA0, 0xA0 + key_bytes))), Secret(bytes(range(0x50, 0x5C)))
    rtp_key, rtcp_key = srtp.derive_rtp(*master), srtp.derive_rtcp(*master)
    index = ROC * rtp.SEQ_MODULUS + SEQ
    header = rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, SEQ, TIMESTAMP, SSRC)
    payload = bytes.fromhex("471fff10") + b"\xff" * 28
    compound = bytes.fromhex("".join(seal_vectors(Kept({}))["compound"]).replace(" ", ""))
    (data,) = Sealer(SSRC).seal(
        rtp_key.stream(SSRC), KEY_ID.pack(), index, [payload], [TIMESTAMP], second=rtp.PAYLOAD_TYPE_MP2T
    )
    control = srtcp.seal_control(rtcp_key, compound, SSRC, CONTROL_INDEX, KEY_ID.pack())
    return {
        "suite": suite,
        "master_key": master[0].reveal().hex(),
        "master_salt": master[1].reveal().hex(),
        "mki": KEY_ID.pack().hex(),
        **_session("rtp", master, 0),
        **_session("rtcp", master, 3),
        "roc": ROC,
        "data_iv": (rtp_key.stream(SSRC).base ^ index).to_bytes(12, "big").hex(),
        "header": header.hex(),
        "payload": payload.hex(),
        "data": data.hex(),
        "control_index": CONTROL_INDEX,
        "control_iv": ((SSRC << 48 | CONTROL_INDEX) ^ rtcp_key.salt).to_bytes(12, "big").hex(),
        "control": control.hex(),
    }


def _session(name: str, master: tuple[Secret, Secret], label: int) -> Content:
    parts = (("key", label, len(master[0])), ("salt", label + 2, 12))
    return {f"{name}_{part}": srtp._prf(*master, at, size).hex() for part, at, size in parts}


def jws_vectors(kept: Kept) -> Content:
    """Return a signed request for each kind of key, and tokens that must be refused."""
    keys = {
        "HS256": jwk.new_oct_key(_random("mac")),
        "Ed25519": jwk.new_signing_pair(_random("ed25519")),
        "ES256": jwk.new_p256_pair(_random("es256")),
    }
    signed = []
    for name, key in keys.items():
        make = _signer(key)
        token = kept.get("signed", name, "token", make) if name == "ES256" else make()
        signed.append({"name": name, "key": _parts(key), "payload": PLAINTEXT, "token": token})
    return {
        "source": f"{OURS}: compact JWS (RFC 7515) of docs/spec/messages.md. ES256 is random, and made once.",
        "typ": jose.TYP_REQUEST,
        "kid": "device-1",
        "signed": signed,
        "refused": _refused_signatures(keys, signed),
    }


def _signer(key: jwk.Jwk) -> Callable[[], str]:
    return lambda: jose.sign(PLAINTEXT.encode(), key, kid="device-1", typ=jose.TYP_REQUEST)


def _refused_signatures(keys: dict[str, jwk.Jwk], signed: list[Content]) -> list[Content]:
    """Return tokens that nobody may take: the algorithm follows from the key, never from the header."""
    pair = keys["Ed25519"]
    head, body, _ = signed[1]["token"].split(".")
    none = b64url_encode(b'{"alg":"none","kid":"device-1","typ":"sealcast-request"}')
    as_secret = jwk.Jwk(kty="oct", k=pair.x)
    confused = jose.sign(PLAINTEXT.encode(), as_secret, kid="device-1", typ=jose.TYP_REQUEST)
    answer = jose.sign(PLAINTEXT.encode(), pair, kid="device-1", typ=jose.TYP_ANSWER)
    other = b64url_encode(PLAINTEXT.replace("Gr", "gr").encode())
    cases = {
        "alg none": f"{none}.{body}.",
        "no signature": f"{head}.{body}.",
        "a MAC under the public key": confused,
        "another payload": f"{head}.{other}.{signed[1]['token'].split('.')[2]}",
        "another typ": answer,
    }
    return [{"name": name, "key": _parts(pair.public()), "token": token} for name, token in cases.items()]


def jwe_vectors(kept: Kept) -> Content:
    """Return a sealed message for each kind of recipient; all are made once, and so is the RSA pair."""
    keys = {
        "A256KW": jwk.new_oct_key(_random("kek")),
        "ECDH-ES+A256KW with X25519": jwk.new_sealing_pair(_random("x25519")),
        "ECDH-ES+A256KW with P-256": jwk.new_p256_pair(_random("p256")),
        "RSA-OAEP-256": jwk.Jwk(
            **kept.get("sealed", "RSA-OAEP-256", "key", lambda: _parts(jwk.new_rsa_pair()))
        ),
    }
    server = jwk.new_signing_pair(_random("server"))
    answer = jose.sign(PLAINTEXT.encode(), server, kid="keyserver", typ=jose.TYP_ANSWER)
    sealed = [
        {
            "name": name,
            "typ": jose.TYP_SHARED_ANSWER if key.kty == "oct" else jose.TYP_SEALED_ANSWER,
            "key": _parts(key),
            "server_key": _parts(server.public()),
            **({} if key.kty == "oct" else {"inner": answer}),
            "plaintext": PLAINTEXT,
            "token": kept.get("sealed", name, "token", _sealer(key, server)),
        }
        for name, key in keys.items()
    ]
    return {
        "source": f"{OURS}: compact JWE (RFC 7516) of docs/spec/messages.md, made once. An answer to a "
        "key pair holds a JWS by the server, one to a symmetric key is the plaintext itself; the passphrase "
        "is UTF-8 in NFC, and the header says how the key follows from it.",
        "sealed": sealed,
        "vaults": _vault_vectors(kept),
    }


def _vault_vectors(kept: Kept) -> list[Content]:
    """Return a message under a key file's key, and one under a passphrase."""
    key, passphrase = jwk.new_oct_key(_random("vault")), "corr\u00e9ct horse"
    how = Derivation(n=1 << 15, r=8, p=1, salt=b64url_encode(bytes(range(16))))
    derived = derive(passphrase_of(passphrase, is_new=True), how)
    vaults: list[tuple[str, Content, jwk.Jwk, Derivation | None]] = [
        ("dir, key file", {"key": _parts(key)}, key, None),
        ("dir, passphrase", {"passphrase": passphrase}, derived, how),
    ]
    return [
        {
            "name": name,
            "typ": jose.TYP_VAULT,
            **shown,
            "plaintext": PLAINTEXT,
            "token": kept.get("vaults", name, "token", _vault(under, derivation)),
        }
        for name, shown, under, derivation in vaults
    ]


def _sealer(key: jwk.Jwk, server: jwk.Jwk) -> Callable[[], str]:
    """Return how an answer is sealed to a key, by the server."""
    recipient = key if key.kty == "oct" else key.public()
    return lambda: seal_answer(PLAINTEXT.encode(), recipient, kid="device-1", signing=server)


def _vault(key: jwk.Jwk, how: Derivation | None) -> Callable[[], str]:
    derivation = how.as_header() if how is not None else None
    return lambda: jose.seal_direct(PLAINTEXT.encode(), key, typ=jose.TYP_VAULT, derivation=derivation)


def nonce_vectors(_: Kept) -> Content:
    """Return nonces with the instants at which they are good and are not; and the hash of a token."""
    key, other = Secret(bytes(range(32))), Secret(bytes(32))
    nonce = nonces.mint_nonce(key, WALL_MS)
    ages = {
        "at once": (nonce, 0, True),
        "its last millisecond": (nonce, nonces.NONCE_VALID_MS, True),
        "too old": (nonce, nonces.NONCE_VALID_MS + 1, False),
        "by a server whose clock is ahead": (nonce, -nonces.NONCE_AHEAD_MS, True),
        "from the future": (nonce, -nonces.NONCE_AHEAD_MS - 1, False),
        "under another key": (nonces.mint_nonce(other, WALL_MS), 0, False),
        "cut short": (nonce[:-2], 0, False),
    }
    token = b64url_encode(bytes(range(16)))
    return {
        "source": f"{OURS}: nonces of key servers, and what a server knows of an invitation "
        "(docs/spec/messages.md).",
        "key": key.reveal().hex(),
        "nonces": [
            {"name": name, "nonce": text, "wall_ms": WALL_MS + age_ms, "good": good}
            for name, (text, age_ms, good) in ages.items()
        ],
        "invitation": {"token": token, "hash": token_hash(token).hex()},
    }


def rest_vectors(_: Kept) -> Content:
    """Return the keys that follow from a master key, and secrets wrapped under them."""
    master = Secret(bytes(range(0x40, 0x60)))
    rows = [
        ("aes-128-gcm", LABEL_TEK, KEY_ID.pack(), bytes(range(0xA0, 0xB0)) + bytes(range(0x50, 0x5C))),
        ("aes-256-gcm", LABEL_TEK, KEY_ID.pack(), bytes(range(0xA0, 0xC0)) + bytes(range(0x50, 0x5C))),
        ("MAC secret of a device", LABEL_MAC, b"device-1", bytes(range(32))),
        ("KEK of a device", LABEL_KEK, b"device-1", bytes(range(32, 64))),
    ]
    return {
        "source": f"{OURS}: keys at rest (docs/spec/messages.md).",
        "master_key": master.reveal().hex(),
        "server_vault": {
            "info": VAULT_LABEL.decode(),
            "key": wrapping.derive_key(master, VAULT_LABEL).reveal().hex(),
        },
        "rows": [
            {
                "name": name,
                "label": label.decode(),
                "row": row.hex(),
                "row_key": wrapping.derive_key(master, label + row).reveal().hex(),
                "secret": secret.hex(),
                "wrapped": wrapping.wrap(master, label, row, Secret(secret)).hex(),
            }
            for name, label, row, secret in rows
        ],
    }


def _random(name: str) -> SimRandom:
    return SimRandom(f"vectors/{name}")


def _parts(key: jwk.Jwk) -> dict[str, str]:
    """Return a key as JSON has it, without what it does not have."""
    return dict(json.loads(encode(key)))


FILES: dict[str, Callable[[Kept], Content]] = {
    "seal.json": seal_vectors,
    "sealcast.json": packet_vectors,
    "jws.json": jws_vectors,
    "jwe.json": jwe_vectors,
    "erasure.json": erasure_vectors,
    "nonces.json": nonce_vectors,
    "at-rest.json": rest_vectors,
    "scramble.json": scramble_vectors,
    "asking.json": asking_vectors,
    "package.json": package_vectors,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
