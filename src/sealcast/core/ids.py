"""Owns the identifiers that appear on the wire, in messages and in the database.

A key ID is the 8-byte SRTP MKI: `channel number, u32 ‖ epoch, u32`, both big-endian.
"""

import struct
from dataclasses import dataclass
from typing import NewType, Self

from sealcast.core.errors import FormatError

Epoch = NewType("Epoch", int)
"""Number of one key's turn on a channel: u32, +1 each change, never given twice."""

ChannelNumber = NewType("ChannelNumber", int)
"""Number of a channel: u32, given by the key server, unique over all senders."""

Ssrc = NewType("Ssrc", int)
"""RTP synchronisation source (RFC 3550 §3): u32, fresh for each start of a sender."""

PacketIndex = NewType("PacketIndex", int)
"""SRTP packet index (RFC 3711 §3.3.1): 2^16 · ROC + SEQ, 48 bits."""

KEY_ID_BYTES = 8
U32_MAX = 0xFFFFFFFF

_LAYOUT = struct.Struct(">II")


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """Names one key of one channel; on the wire it is the packet's MKI."""

    channel: ChannelNumber
    epoch: Epoch

    def pack(self) -> bytes:
        """Return the 8 bytes of the MKI."""
        return _LAYOUT.pack(self.channel, self.epoch)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Read the 8 bytes of an MKI; raises FormatError for another length."""
        if len(data) != KEY_ID_BYTES:
            raise FormatError(f"a key ID has {KEY_ID_BYTES} bytes, not {len(data)}")
        channel, epoch = _LAYOUT.unpack(data)
        return cls(ChannelNumber(channel), Epoch(epoch))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the 16 hexadecimal digits that `str` gives; raises FormatError."""
        try:
            return cls.unpack(bytes.fromhex(text))
        except ValueError as error:
            raise FormatError(f"not a key ID: {text[:40]!r}") from error

    def __str__(self) -> str:
        return self.pack().hex()
