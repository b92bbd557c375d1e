"""Owns the sockets that all receivers of a crowd share: each session is handed what comes, in turn."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar

from chaos.records import DATA, Heard, Run, extend
from sealcast.core.ports import Clock
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import Slab
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastReceiver, open_receiver

GATHER_S = 0.1
"""Packets gather for so long: one turn for many, since a turn goes through all receivers."""

BATCH_PACKETS = 256


def place_of(packet: bytes, now: int) -> Heard:
    """Return what is written down of a data packet."""
    channel, epoch = int.from_bytes(packet[-8:-4], "big"), int.from_bytes(packet[-4:], "big")
    ssrc, seq = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
    return Heard(now, DATA, channel, epoch, ssrc, seq, b"")


class SharedGroup:
    """One group of one host, with everybody who joined it."""

    def __init__(self, group: str, port: int, source: str | None, interface: str | None) -> None:
        chosen = choose_interface(group, interface).interface
        self.interface = chosen.name
        self.members: list[Member] = []
        self.arrived: list[Run] = []
        self._data = open_receiver(group, port, chosen, source)
        self._control = open_receiver(group, port + 1, chosen, source)

    def take(self) -> None:
        """Hand what has come to all members, data before control."""
        packets, told = _all(self._data), _all(self._control)
        now = time.monotonic_ns()
        for packet in packets:
            extend(self.arrived, place_of(packet, now))
        if packets or told:
            for member in tuple(self.members):
                member.take(packets, told, now)

    def drops(self) -> int:
        """Return how many datagrams the kernel had no room for."""
        return (self._data.drops() or 0) + (self._control.drops() or 0)


class Air:
    """All groups of one host."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, int], SharedGroup] = {}
        self.late_s_max = 0.0
        """How long a turn was behind its time at most: what the machine added to all that receivers do."""

    def join(self, group: str, port: int, source: str | None, interface: str | None) -> SharedGroup:
        """Return a group, joined by whoever comes first."""
        if (group, port) not in self.groups:
            self.groups[group, port] = SharedGroup(group, port, source, interface)
        return self.groups[group, port]

    async def run(self) -> None:
        """Hand out what comes until cancelled."""
        while True:
            due_s = time.monotonic() + GATHER_S
            await asyncio.sleep(GATHER_S)
            self.late_s_max = max(self.late_s_max, time.monotonic() - due_s)
            for group in self.groups.values():
                group.take()


AIR: ContextVar[Air] = ContextVar("air")
"""The air of this process, where members find it: `receive` makes them."""


class Member:
    """One receiver's place in a shared group; does as `receiver.group.JoinedGroup`."""

    def __init__(
        self,
        session: ReceiverSession,
        clock: Clock,
        *,
        reorder_ms: int,
        opened: Callable[[list[Slab]], None],
        advance: Callable[[int], None],
    ) -> None:
        del reorder_ms, opened
        self._session, self._advance = session, advance
        self._group: SharedGroup | None = None
        self.interface: str | None = None
        self.joined_ns = self.heard_ns = clock.monotonic_ns()

    @property
    def is_joined(self) -> bool:
        """Whether packets come."""
        return self._group is not None

    def join(self, group: str, port: int, source: str | None, interface: str | None) -> None:
        """Take a place."""
        self._group = AIR.get().join(group, port, source, interface)
        self._group.members.append(self)
        self.interface = self._group.interface

    def leave(self) -> None:
        """Give up the place; may be called again."""
        if self._group is not None:
            self._group.members.remove(self)
            self._group = None

    def take_waiting(self) -> None:
        """Do nothing: what waits comes with the next turn of all."""

    def drops(self) -> int | None:
        """Tell nothing: the host's story does."""
        return None

    def take(self, packets: list[bytes], told: list[bytes], now: int) -> None:
        """Take what came to the host."""
        if packets:
            self.heard_ns = now
            self._session.handle_data(packets, now)
        for packet in told:
            self._session.handle_control(packet, now)
        self._advance(now)


def _all(receiver: MulticastReceiver) -> list[bytes]:
    packets: list[bytes] = []
    while more := receiver.receive_batch(BATCH_PACKETS):
        packets += more
    return packets
