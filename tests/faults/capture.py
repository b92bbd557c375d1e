"""Owns what an eavesdropper sees of a channel, and the proof that no nonce came twice in it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from faults.site import Channel
from sealcast.core.ids import KeyId
from sealcast.keys.material import Tek
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastReceiver, open_receiver
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.rtp import parse_header

KEY_ID_BYTES = 8
QUIET_S = 0.15
"""After a sender's end nothing more is under way on loopback by then."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet, and the run of the sender that it came from."""

    run: int
    packet: bytes

    @property
    def key_id(self) -> bytes:
        """The MKI."""
        return self.packet[-KEY_ID_BYTES:]


class Capture:
    """Listens to one channel in a thread; `run` is set by whoever starts senders."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.run = 0
        self.data: list[Seen] = []
        self.control: list[Seen] = []
        interface = choose_interface(channel.group, "lo").interface
        self._sockets = [
            (open_receiver(channel.group, channel.port, interface), self.data),
            (open_receiver(channel.group, channel.port + 1, interface), self.control),
        ]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for receiver, _ in self._sockets:
            receiver.close()

    def next_run(self) -> None:
        """Wait until all of the run before has been taken, then count a new one."""
        time.sleep(QUIET_S)
        self.run += 1

    def drops(self) -> int:
        """How many packets the kernel had no room for."""
        return sum(receiver.drops() or 0 for receiver, _ in self._sockets)

    def _listen(self) -> None:
        while not self._over.wait(0.02):
            for receiver, seen in self._sockets:
                _take(receiver, seen, self.run)


def _take(receiver: MulticastReceiver, seen: list[Seen], run: int) -> None:
    while packets := receiver.receive_batch(256):
        seen += [Seen(run, packet) for packet in packets]


@dataclass
class Nonces:
    """What was found in captures: pairs counted, packets opened, and those whose key nobody has any more."""

    pairs: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)
    slots: dict[tuple[int, bytes], int] = field(default_factory=dict)
    opened: int = 0
    without_key: int = 0

    def check(self, capture: Capture, teks: dict[KeyId, Tek]) -> None:
        """Count all packets of a channel; fails if a pair came twice, or a run slot in two runs."""
        by_mki = {key_id.pack(): tek for key_id, tek in teks.items()}
        self._check_part(capture.data, by_mki, _data_place, _open_data)
        self._check_part(capture.control, by_mki, _control_place, _open_control)
        twice = [pair for pair, count in self.pairs.items() if count > 1]
        assert not twice, f"{len(twice)} nonces came twice"

    def _check_part(
        self,
        seen: list[Seen],
        by_mki: dict[bytes, Tek],
        place_of: Callable[[bytes], tuple[int, bytes]],
        opens: Callable[[Tek, bytes], tuple[bytes, bytes]],
    ) -> None:
        for each in seen:
            ssrc, place = place_of(each.packet)
            # An SSRC belongs to one run, and with it every (SSRC, epoch).
            run = self.slots.setdefault((ssrc, each.key_id), each.run)
            assert run == each.run, f"SSRC {ssrc:08x} under {each.key_id.hex()} in runs {run} and {each.run}"
            tek = by_mki.get(each.key_id)
            if tek is None:
                self.without_key += 1
                self.pairs[each.key_id, place] += 1
            else:
                self.opened += 1
                self.pairs[opens(tek, each.packet)] += 1


def _data_place(packet: bytes) -> tuple[int, bytes]:
    """Return the SSRC, and what tells a packet from the others: runs are too short for SEQ to come again."""
    header = parse_header(packet)
    return header.ssrc, b"data" + packet[8:12] + packet[2:4]


def _control_place(packet: bytes) -> tuple[int, bytes]:
    split = srtcp.split_control(packet)
    return split.ssrc, b"control" + split.ssrc.to_bytes(4, "big") + split.index.to_bytes(4, "big")


def _open_data(tek: Tek, packet: bytes) -> tuple[bytes, bytes]:
    """Open a packet, which proves its index, and return its key and IV."""
    header = rtp.parse_header(packet)
    key = srtp.derive_rtp(tek.key, tek.salt).stream(header.ssrc)
    srtp.open_packet(key, packet, header.length_bytes, header.seq)
    return tek.key.reveal() + b"data", (key.base ^ header.seq).to_bytes(12, "big")


def _open_control(tek: Tek, packet: bytes) -> tuple[bytes, bytes]:
    split = srtcp.split_control(packet)
    key = srtp.derive_rtcp(tek.key, tek.salt)
    srtcp.open_control(key, split)
    return tek.key.reveal() + b"control", ((split.ssrc << 48 | split.index) ^ key.salt).to_bytes(12, "big")
