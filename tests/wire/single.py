"""Owns sealing one packet by itself, as tests make packets and compare those of batches with."""

from sealcast.wire.srtp import StreamKey


def seal_single(key: StreamKey, header: bytes, payload: bytes, index: int, mki: bytes = b"") -> bytes:
    """Return the SRTP packet (RFC 7714 §8)."""
    iv = (key.base ^ index).to_bytes(12, "big")
    return b"".join((header, key.aead.encrypt(iv, payload, header), mki))
