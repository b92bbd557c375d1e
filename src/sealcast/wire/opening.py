"""Owns opening many SRTP packets at a call, straight into the buffer from which they are written on.

```
received:  header ‖ ciphertext ‖ tag ‖ MKI │ header ‖ ciphertext ‖ tag ‖ MKI │ …   equal in length
opened:    payload │ payload │ …                                                 one behind the other
```
A *run* is packets of one length, SSRC and MKI whose SEQs follow each other: its key, ROC and replay window
are looked up once. What breaks a run, an odd header for instance, is for the caller to open one by one.
"""

import struct
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag

from sealcast.core.ids import KEY_ID_BYTES
from sealcast.wire import rtp
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES, TAG_BYTES, StreamKey

RECEIVED_BYTES_MAX = 2 * 65_535
"""Room for the longest UDP datagram, or train that the kernel puts together (UDP_GRO), behind what waits."""

LAYOUTS_MAX = 8
"""Packet lengths whose slots are remembered."""

_IV = struct.Struct(">IQ")
_LOW64 = 0xFFFFFFFFFFFFFFFF

PacketFields = tuple[int, int, int, bytes]
"""First byte, SEQ, SSRC and MKI of a packet."""


_Slot = tuple[memoryview, memoryview, memoryview]


class _Layout:
    """Where packets of one length stand in the received buffer, and their payloads in the opened one."""

    __slots__ = ("_opened", "_received", "_slots", "fields", "packet_bytes", "payload_bytes")

    def __init__(self, packet_bytes: int, received: memoryview, opened: memoryview) -> None:
        self._received, self._opened = received, opened
        self.packet_bytes = packet_bytes
        self.payload_bytes = packet_bytes - PACKET_OVERHEAD_BYTES
        middle = packet_bytes - rtp.HEADER_BYTES - KEY_ID_BYTES
        self.fields = struct.Struct(f">BxH4xI{middle}x{KEY_ID_BYTES}s")
        self._slots: list[_Slot] = []

    def slots(self, first: int, end: int) -> list[_Slot]:
        """Return the slots `first` to `end` - 1: header, what is sealed, and where it is opened into.

        They are laid out when they are first needed: a stranger's datagram of an odd length costs few.
        """
        for number in range(len(self._slots), end):
            start = number * self.packet_bytes
            header_end = start + rtp.HEADER_BYTES
            out = number * self.payload_bytes
            self._slots.append(
                (
                    self._received[start:header_end],
                    self._received[header_end : header_end + self.payload_bytes + TAG_BYTES],
                    self._opened[out : out + self.payload_bytes],
                )
            )
        return self._slots[first:end]


class Opener:
    """Holds the buffer that datagrams arrive in and the one that payloads are opened into.

    128 kB each. About 0.45 µs a packet beside the cipher, in runs of 45.
    """

    def __init__(self) -> None:
        self.received = memoryview(bytearray(RECEIVED_BYTES_MAX))
        self.opened = memoryview(bytearray(RECEIVED_BYTES_MAX))
        self._layouts: dict[int, _Layout] = {}

    def fields(self, packet_bytes: int, count: int) -> Iterator[PacketFields]:
        """Return first byte, SEQ, SSRC and MKI of each of the received packets of that length, in order."""
        return self._layout(packet_bytes).fields.iter_unpack(self.received[: packet_bytes * count])

    def open_run(self, key: StreamKey, packet_bytes: int, first: int, count: int, index: int) -> int:
        """Open the packets `first` to `first` + `count` - 1, the first under `index`, each next one higher.

        Returns how many verified before one did not; their payloads stand at the same places among the
        opened. What the cipher left of the one that did not is wiped. The caller knows that all have plain
        headers and belong to the key, and that none was opened before.
        """
        layout = self._layout(packet_bytes)
        decrypt_into, make_iv = key.aead.decrypt_into, _IV.pack
        base_high, base_low = key.base >> 64, key.base & _LOW64
        start = index
        try:
            for header, sealed, out in layout.slots(first, first + count):
                decrypt_into(make_iv(base_high, base_low ^ index), sealed, header, out)
                index += 1
        except InvalidTag:
            out[:] = bytes(len(out))
        return index - start

    def payloads(self, packet_bytes: int, first: int, count: int) -> memoryview:
        """Return the opened payloads `first` to `first` + `count` - 1, one behind the other."""
        size = self._layout(packet_bytes).payload_bytes
        return self.opened[first * size : (first + count) * size]

    def _layout(self, packet_bytes: int) -> _Layout:
        layout = self._layouts.get(packet_bytes)
        if layout is None:
            if len(self._layouts) >= LAYOUTS_MAX:
                self._layouts.pop(next(iter(self._layouts)))
            layout = self._layouts[packet_bytes] = _Layout(packet_bytes, self.received, self.opened)
        return layout
