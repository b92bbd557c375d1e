"""Verifies asking.json for verify.py: written from asking.md, no line of Sealcast."""

# ruff: noqa: INP001 - beside a program, not in a package

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Json = dict[str, Any]

BYTES = 144


def verify_asking(content: Json) -> int:
    """Verify question and answers; return how many. Raises ValueError or KeyError where one does not fit."""
    nonce = bytes.fromhex(content["nonce"])
    question = b"SCAQ" + bytes([1, 0, 0, 0]) + nonce + content["channel"].to_bytes(4, "big")
    if question.ljust(BYTES, b"\0").hex() != content["question"]:
        raise ValueError("the question")
    public = bytes.fromhex(content["public_key"])
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(content["private_key"]))
    if private.public_key().public_bytes_raw() != public:
        raise ValueError("the sender's key")
    for each in content["answers"]:
        answer = bytes.fromhex(each["answer"])
        if len(answer) != BYTES or answer[:-64] != _said(each, nonce):
            raise ValueError(f"answer {each['name']}")
        if int(each["key_id"][:8], 16) != content["channel"]:
            raise ValueError(f"channel of answer {each['name']}")
        signed = b"sealcast ANSWER 1" + answer[:-64]
        Ed25519PublicKey.from_public_bytes(public).verify(answer[-64:], signed)
    return 1 + len(content["answers"])


def _said(each: Json, nonce: bytes) -> bytes:
    """Return an answer up to its signature."""
    flags = each["extended"] * 1 | ("next" in each) * 2 | ("pattern" in each) * 4
    body = b"SCAA" + bytes([1, flags, 0, 0]) + nonce
    body += bytes.fromhex(each["key_id"]) + _words(each, "remaining_ms", "lifetime_ms")
    body += bytes.fromhex(each.get("next", "00" * 8))
    body += _words(each, "switch_in_ms", "opens_in_ms", "closes_in_ms", "ssrc", "roc")
    body += each["seq"].to_bytes(2, "big") + bytes(2)
    return body + _words(each, "pattern", "pattern_remaining_ms")


def _words(each: Json, *names: str) -> bytes:
    """Return fields of 32 bits; those that are not there are zeros."""
    return b"".join(int(each.get(name, 0)).to_bytes(4, "big") for name in names)
