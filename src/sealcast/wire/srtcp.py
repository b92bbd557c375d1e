"""Owns SRTCP with AES-GCM (RFC 7714 §9): our control packets are tagged, not encrypted.

```
E = 0:  compound ‖ tag 16 ‖ (0 ‖ index 31) ‖ MKI      AAD = compound ‖ index word
E = 1:  header 8 ‖ ciphertext ‖ tag 16 ‖ (1 ‖ index 31) ‖ MKI      AAD = header 8 ‖ index word
IV 12 = (00 00 ‖ SSRC 4 ‖ 00 00 ‖ index 4) XOR RTCP session salt
```

Sealcast sends E = 0 alone; E = 1 is here because peers and the RFC's vectors have it.
"""

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import KEY_ID_BYTES
from sealcast.wire.srtp import TAG_BYTES, SessionKey

INDEX_MAX = (1 << 31) - 1
"""At five packets a second it lasts 13 years; no key comes near (RFC 7714 §9.2)."""

E_FLAG = 1 << 31
HEADER_BYTES = 8
_WORD = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class ControlPacket:
    """A received SRTCP packet taken apart, not yet believed. `mki` names the key that would verify it."""

    body: bytes
    word: int
    mki: bytes

    @property
    def index(self) -> int:
        """The 31-bit SRTCP index."""
        return self.word & INDEX_MAX

    @property
    def ssrc(self) -> int:
        """SSRC of the first RTCP packet's sender."""
        return int.from_bytes(self.body[4:8], "big")

    @property
    def clear_compound(self) -> bytes:
        """The compound of an unencrypted packet, readable by anybody; raises FormatError if E = 1."""
        if self.word & E_FLAG:
            raise FormatError("an encrypted SRTCP packet")
        return self.body[:-TAG_BYTES]


def index_word(index: int, *, encrypted: bool = False) -> bytes:
    """Return the 4 bytes E ‖ index."""
    return _WORD.pack(index | (E_FLAG if encrypted else 0))


def seal_control(
    key: SessionKey, compound: bytes, ssrc: int, index: int, mki: bytes = b"", *, encrypted: bool = False
) -> bytes:
    """Return the SRTCP packet. Never call it twice with the same key, SSRC and index."""
    word = index_word(index, encrypted=encrypted)
    clear = compound[:HEADER_BYTES] if encrypted else compound
    sealed = key.aead.encrypt(_iv(key, ssrc, index), compound[len(clear) :], clear + word)
    return b"".join((clear, sealed, word, mki))


def split_control(packet: bytes, mki_bytes: int = KEY_ID_BYTES) -> ControlPacket:
    """Take a packet apart; raises FormatError if it is too short to be one."""
    end = len(packet) - mki_bytes
    if end < HEADER_BYTES + TAG_BYTES + _WORD.size:
        raise FormatError("shorter than an SRTCP packet")
    (word,) = _WORD.unpack_from(packet, end - _WORD.size)
    return ControlPacket(packet[: end - _WORD.size], word, packet[end:])


def open_control(key: SessionKey, packet: ControlPacket) -> bytes:
    """Return the verified compound; raises AuthenticationError if the tag does not fit."""
    encrypted = bool(packet.word & E_FLAG)
    clear = packet.body[:HEADER_BYTES] if encrypted else packet.body[:-TAG_BYTES]
    iv = _iv(key, packet.ssrc, packet.index)
    try:
        rest = key.aead.decrypt(iv, packet.body[len(clear) :], clear + _WORD.pack(packet.word))
    except InvalidTag as error:
        raise AuthenticationError("an SRTCP packet whose tag does not verify") from error
    return clear + rest


def _iv(key: SessionKey, ssrc: int, index: int) -> bytes:
    return ((ssrc << 48 | index) ^ key.salt).to_bytes(12, "big")
