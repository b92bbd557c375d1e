"""Owns a second implementation of sealing, written from the RFCs alone, that the tests hold ours against.

It shares no code with `sealcast.wire`: GCM by `Cipher(AES, GCM)`, the key derivation block by block with
AES-ECB, every IV from its bytes.
"""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

VECTORS = Path(__file__).parents[2] / "docs" / "spec" / "vectors"


def load_vectors(name: str) -> Any:
    """Return the content of a file of docs/spec/vectors."""
    return json.loads((VECTORS / name).read_text())


def xor(left: bytes, right: bytes) -> bytes:
    """Return the bitwise sum of two strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def prf(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 §4.3.1 and §4.3.3 at KDR 0: x = key_id XOR salt, AES-CM from x · 2^16."""
    key_id = bytes([0] * 7 + [label] + [0] * 6)
    x = int.from_bytes(xor(key_id, master_salt), "big")
    ecb = Cipher(algorithms.AES(master_key), modes.ECB()).encryptor()  # noqa: S305 one block at a time is a PRF
    blocks = [ecb.update(((x << 16) + i).to_bytes(16, "big")) for i in range(length // 16 + 1)]
    return b"".join(blocks)[:length]


def session(master_key: bytes, master_salt: bytes, label: int) -> tuple[bytes, bytes]:
    """Return session key and salt for a label of 0 (RTP) or 3 (RTCP), from a salt of 12 (RFC 7714 §11)."""
    salt = master_salt + b"\0\0"
    return prf(master_key, salt, label, len(master_key)), prf(master_key, salt, label + 2, 12)


def gcm(key: bytes, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """Return ciphertext ‖ tag."""
    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def rtp_iv(salt: bytes, ssrc: int, roc: int, seq: int) -> bytes:
    """RFC 7714 §8.1."""
    return xor(
        bytes(2) + ssrc.to_bytes(4, "big") + roc.to_bytes(4, "big") + seq.to_bytes(2, "big"),
        salt,
    )


def rtcp_iv(salt: bytes, ssrc: int, index: int) -> bytes:
    """RFC 7714 §9.1."""
    return xor(bytes(2) + ssrc.to_bytes(4, "big") + bytes(2) + index.to_bytes(4, "big"), salt)


def seal_rtp(master_key: bytes, master_salt: bytes, packet: bytes, roc: int, mki: bytes) -> bytes:
    """Seal an RTP packet with a header of 12 bytes."""
    key, salt = session(master_key, master_salt, 0)
    seq, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
    return packet[:12] + gcm(key, rtp_iv(salt, ssrc, roc, seq), packet[:12], packet[12:]) + mki


def seal_rtcp(master_key: bytes, master_salt: bytes, compound: bytes, index: int, mki: bytes) -> bytes:
    """Seal a compound that stays readable (E = 0)."""
    key, salt = session(master_key, master_salt, 3)
    word = index.to_bytes(4, "big")
    ssrc = int.from_bytes(compound[4:8], "big")
    return compound + gcm(key, rtcp_iv(salt, ssrc, index), compound + word, b"") + word + mki
