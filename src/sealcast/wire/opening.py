"""Owns opening many SRTP packets at a call, straight into the buffer from which they are written on.

```
received:  header ‖ ciphertext ‖ tag ‖ MKI │ header ‖ ciphertext ‖ tag ‖ MKI │ …   equal in length
opened:    payload │ payload │ …                                                 one behind the other
```
A *run* is packets of one length with plain headers and one MKI: its key, ROC and replay window are looked up
once. That SSRC and SEQ go on as they should is not looked at: both stand in the IV and under the tag, so that
the first packet in which they do not ends what is opened.
"""

import struct
from collections import deque

from cryptography.exceptions import InvalidTag

from sealcast.core.ids import KEY_ID_BYTES
from sealcast.wire import rtp
from sealcast.wire.ivs import make_ivs
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES, TAG_BYTES, StreamKey

RECEIVED_BYTES_MAX = 2 * 65_535
"""Room for the longest UDP datagram, or train that the kernel puts together (UDP_GRO), behind what waits."""

LAYOUTS_MAX = 8
"""Packet lengths whose slots are remembered."""

RUN_PACKETS_MAX = 128
"""Opened at a time: two trains of 64. So many rows of IVs are remembered at most, 3 kB each on average."""

_LOOK_PACKETS = (16, 4, 1)
"""How many packets are compared with what they should have at a time."""


PacketFields = tuple[int, int, int, bytes]
"""First byte, SEQ, SSRC and MKI of a packet."""


class _Layout:
    """Where packets of one length stand in the received buffer, and their payloads in the opened one."""

    __slots__ = (
        "_buffers",
        "_looks",
        "fields",
        "headers",
        "opened",
        "packet_bytes",
        "payload_bytes",
        "sealed",
    )

    def __init__(self, packet_bytes: int, received: memoryview, opened: memoryview) -> None:
        self._buffers = received, opened
        self.packet_bytes = packet_bytes
        self.payload_bytes = packet_bytes - PACKET_OVERHEAD_BYTES
        middle = packet_bytes - rtp.HEADER_BYTES - KEY_ID_BYTES
        self.fields = struct.Struct(f">BxH4xI{middle}x{KEY_ID_BYTES}s")
        self._looks: list[tuple[int, struct.Struct]] = []
        self.headers: list[memoryview] = []
        self.sealed: list[memoryview] = []
        self.opened: list[memoryview] = []

    @property
    def looks(self) -> list[tuple[int, struct.Struct]]:
        """What reads the first byte and the MKI of several packets; a packet by itself needs none of them."""
        if not self._looks:
            look = f"B{self.packet_bytes - 1 - KEY_ID_BYTES}x{KEY_ID_BYTES}s"
            self._looks = [(count, struct.Struct(">" + look * count)) for count in _LOOK_PACKETS]
        return self._looks

    def lay_out(self, end: int) -> None:
        """Have slots up to `end` - 1: header, what is sealed, and where it is opened into.

        They are laid out when they are first needed: a stranger's datagram of an odd length costs few.
        """
        received, opened = self._buffers
        for number in range(len(self.headers), end):
            start = number * self.packet_bytes
            header_end = start + rtp.HEADER_BYTES
            out = number * self.payload_bytes
            self.headers.append(received[start:header_end])
            self.sealed.append(received[header_end : header_end + self.payload_bytes + TAG_BYTES])
            self.opened.append(opened[out : out + self.payload_bytes])


class Opener:
    """Holds the buffer that datagrams arrive in and the one that payloads are opened into.

    128 kB each. About 0.15 µs a packet beside the cipher, in runs of 45.
    """

    def __init__(self) -> None:
        self.received = memoryview(bytearray(RECEIVED_BYTES_MAX))
        self.opened = memoryview(bytearray(RECEIVED_BYTES_MAX))
        self._layouts: dict[int, _Layout] = {}

    def fields(self, packet_bytes: int, place: int) -> PacketFields:
        """Return what the received packet at a place says of itself."""
        return self._layout(packet_bytes).fields.unpack_from(self.received, place * packet_bytes)

    def run_length(self, packet_bytes: int, first: int, end: int, mki: bytes) -> int:
        """Return how many packets from `first` on, before `end`, have plain headers and this MKI.

        The first has, as the caller knows; `RUN_PACKETS_MAX` at most.
        """
        if end - first == 1:
            return 1
        end = min(end, first + RUN_PACKETS_MAX)
        place = first
        for count, look in self._layout(packet_bytes).looks:
            wanted = (rtp.PLAIN_HEADER, mki) * count
            while place + count <= end and look.unpack_from(self.received, place * packet_bytes) == wanted:
                place += count
        return place - first

    def open_run(self, key: StreamKey, packet_bytes: int, first: int, count: int, index: int) -> int:
        """Open the packets `first` to `first` + `count` - 1, the first under `index`, each next one higher.

        Returns how many verified before one did not; their payloads stand at the same places among the
        opened. What the cipher left of the one that did not is wiped. The caller knows that all have plain
        headers, and that none of these indices was opened before.
        """
        layout, end = self._layout(packet_bytes), first + count
        if len(layout.headers) < end:
            layout.lay_out(end)
        ivs = iter(make_ivs(key.base, index, count))
        headers, sealed, opened = (row[first:end] for row in (layout.headers, layout.sealed, layout.opened))
        try:
            # The loop over the packets is the map: a loop in Python takes 0.1 µs a packet more.
            deque(map(key.aead.decrypt_into, ivs, sealed, headers, opened), maxlen=0)
        except InvalidTag:
            verified = count - 1 - sum(1 for _ in ivs)
            opened[verified][:] = bytes(layout.payload_bytes)
            return verified
        return count

    def follow(self, packet_bytes: int, first: int, count: int) -> int:
        """Return how many packets from `first` on, of `count`, have one SSRC and SEQs in a row."""
        fields = self._layout(packet_bytes).fields
        rows = fields.iter_unpack(self.received[first * packet_bytes : (first + count) * packet_bytes])
        _, seq, ssrc, _ = next(rows)
        for number, (_, other_seq, other_ssrc, _) in enumerate(rows, 1):
            if other_ssrc != ssrc or other_seq != seq + number & 0xFFFF:
                return number
        return count

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
