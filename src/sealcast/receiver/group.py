"""Owns the two sockets of the group that a receiver has joined: what came is handed to its session in turn.

Data goes before control: what a sender says of its counters is not believed before the packets that it had
sent by then. While data comes, the sockets are looked at every few ms rather than for each packet.
"""

import asyncio
from collections.abc import Callable

import structlog

from sealcast.core.errors import UnreachableError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import Slab
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastReceiver, open_receiver

TRAINS_PER_TURN = 16
"""Trains of datagrams taken at a time, before timers get their turn: some hundred packets."""

BACKLOG_NS = 20 * NS_PER_MS
"""How long packets that wait go before a control packet; a receiver that is far behind has to hear it."""

CONTROL_PACKETS = 64
"""Control packets taken at a time; a sender makes fifteen in a second."""

GATHER_S_MAX = 0.005
GATHER_SHARE = 0.25
"""Part of the reorder time that packets may gather in the socket: a wake-up costs more than a packet."""

log = structlog.get_logger("sealcast.receiver")


class JoinedGroup:
    """The group of one run, once it is known; until `join` and after `leave` there are no sockets."""

    def __init__(
        self,
        session: ReceiverSession,
        clock: Clock,
        *,
        reorder_ms: int,
        opened: Callable[[list[Slab]], None],
        advance: Callable[[int], None],
    ) -> None:
        """Begin; `opened` takes what each train brought, at once, and `advance` is called after each look."""
        self._session = session
        self._clock = clock
        self._opened = opened
        self._advance = advance
        self._loop = asyncio.get_running_loop()
        self._gather_s = min(GATHER_S_MAX, reorder_ms / 1000 * GATHER_SHARE)
        self._gathering: asyncio.TimerHandle | None = None
        self._data: MulticastReceiver | None = None
        self._control: MulticastReceiver | None = None
        self.interface: str | None = None
        """The interface joined on, also after the end."""
        self.joined_ns = self.heard_ns = clock.monotonic_ns()
        """When the group was joined, and when data was last heard; when we began, before that."""

    @property
    def is_joined(self) -> bool:
        """Whether the sockets are there."""
        return self._data is not None

    def join(self, group: str, port: int, source: str | None, interface: str | None) -> None:
        """Join on an interface, or on the one that is chosen for the group; raises UsageError if none can."""
        choice = choose_interface(group, interface)
        self.interface = choice.interface.name
        self.joined_ns = self.heard_ns = self._clock.monotonic_ns()
        self._data = open_receiver(group, port, choice.interface, source)
        self._control = open_receiver(group, port + 1, choice.interface, source)
        self._data.take_trains()
        log.info("joined", group=group, port=port, source=source, interface=str(choice))
        advice = self._data.buffer_advice()
        if advice is not None:
            log.warning(advice)
        self._loop.add_reader(self._data.fileno(), self._on_data, self._data)
        self._loop.add_reader(self._control.fileno(), self._on_control, self._control)

    def leave(self) -> None:
        """Leave the group and close the sockets; may be called again."""
        if self._gathering is not None:
            self._gathering.cancel()
        for receiver in (self._data, self._control):
            if receiver is not None:
                self._loop.remove_reader(receiver.fileno())
                receiver.leave()
                receiver.close()
        self._data = self._control = None

    def take_waiting(self) -> None:
        """Take the data that has arrived, as far as one turn goes."""
        if self._data is not None:
            self._take_data(self._data)

    def drops(self) -> int | None:
        """Return how many datagrams the kernel dropped for want of room; None where it does not tell."""
        counts = [receiver.drops() for receiver in (self._data, self._control) if receiver is not None]
        known = [count for count in counts if count is not None]
        return sum(known) if counts and len(known) == len(counts) else None

    def _on_data(self, receiver: MulticastReceiver) -> None:
        """Take what came; while more comes, look every few ms instead of waking for each packet."""
        if self._gather_s:
            self._loop.remove_reader(receiver.fileno())
            self._gathering = self._loop.call_later(self._gather_s, self._gather, receiver)
        self._take_data(receiver)

    def _gather(self, receiver: MulticastReceiver) -> None:
        """Take what gathered since the last look; go back to waiting once nothing did."""
        self._gathering = None
        taken = self._take_data(receiver)
        if taken:
            wait_s = 0 if taken == TRAINS_PER_TURN else self._gather_s
            self._gathering = self._loop.call_later(wait_s, self._gather, receiver)
        else:
            self._loop.add_reader(receiver.fileno(), self._on_data, receiver)

    def _take_data(self, receiver: MulticastReceiver) -> int:
        """Take the trains that wait, at most `TRAINS_PER_TURN`; return how many there were."""
        session, buffer, taken = self._session, self._session.train_buffer, 0
        try:
            while taken < TRAINS_PER_TURN and (train := receiver.receive_train(buffer)) is not None:
                self.heard_ns = self._clock.monotonic_ns()
                session.handle_train(*train, self.heard_ns)
                taken += 1
                # At once: what was opened stands where the next train will.
                self._opened(session.pop_opened())
        except UnreachableError as error:
            log.warning(str(error))
        if taken:
            self._advance(self.heard_ns)
        return taken

    def _on_control(self, receiver: MulticastReceiver) -> None:
        until_ns = self._clock.monotonic_ns() + BACKLOG_NS
        while self._data is not None and self._take_data(self._data) == TRAINS_PER_TURN:
            if self.heard_ns > until_ns:
                break
        now = self._clock.monotonic_ns()
        for packet in self._take_control(receiver):
            self._session.handle_control(packet, now)
        self._advance(now)

    def _take_control(self, receiver: MulticastReceiver) -> list[bytes]:
        try:
            return receiver.receive_batch(CONTROL_PACKETS)
        except UnreachableError as error:
            log.warning(str(error))
            return []
