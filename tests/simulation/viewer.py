"""Owns the simulated receiver: a real session, with what `receiver.run` does around it."""

from collections.abc import Callable

from sealcast.core.errors import RefusedError, RemoteError
from sealcast.messages.answers import Grant
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import FetchRequest
from sealcast.testing import PERFECT, Link, PacketArrival
from simulation.keyserver import Answer
from simulation.parts import number_of
from simulation.studio import CONTROL, DATA, Studio, mark_of
from simulation.world import World

WHOLE_BATCH = 256


class Viewer:
    """A receiver. `numbers` are the payloads that left, in order; `arrived` those the network brought.

    Its clock is `ahead_ns` before the world's; `began_ns`, `ended_ns` and `fetched_ns` are by the world's.
    """

    def __init__(
        self,
        world: World,
        studios: list[Studio],
        name: str = "viewer",
        *,
        link: Link = PERFECT,
        reorder_ms: int = 20,
        by_address: bool = False,
        ahead_ns: int = 0,
    ) -> None:
        self.endpoint = world.network.endpoint(name, link)
        self.session = ReceiverSession(
            channel=None if by_address else "news",
            reorder_ms=reorder_ms,
            random=world.random.fork(name),
            now=world.now + ahead_ns,
        )
        self.began_ns = world.now
        self.numbers: list[int] = []
        self.arrived: set[int] = set()
        self.changed: list[int] = []
        self.wrong = 0
        self.held_back_max = 0
        self.ended_ns: int | None = None
        self.has_crashed = False
        self.is_recording = True
        self.fetched_ns: list[int] = []
        self.on_grant: Callable[[Grant], Grant] = lambda grant: grant
        self.on_packet: Callable[[bytes], bool] = lambda _: True
        self.on_control: Callable[[bytes], bool] = lambda _: True
        self._ahead_ns = ahead_ns
        self._world = world
        self._studios = studios
        self._is_asking = False
        self._has_joined = False
        world.add(self)
        if by_address:
            self._join()
        self.wake(world.now)
        world.refresh(self)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended with the sender's BYE."""
        return self.ended_ns is not None

    def take(self, packets: list[PacketArrival], now: int) -> None:
        """Take what arrived at one instant: first the data port, then the control port."""
        if self.is_over:
            return
        data = [packet.data for packet in packets if packet.group == DATA and self.on_packet(packet.data)]
        if self.is_recording:
            self.arrived.update(number for packet in data if (number := self._number(packet)) is not None)
        for start in range(0, len(data), WHOLE_BATCH):
            self.session.handle_data(data[start : start + WHOLE_BATCH], now + self._ahead_ns)
            self._advance(now)
        for packet in packets:
            if packet.group == CONTROL and not self.is_over and self.on_control(packet.data):
                self.session.handle_control(packet.data, now + self._ahead_ns)
                self._advance(now)
        self.check_counts()

    def wake(self, now: int) -> None:
        """Do what is due."""
        self.session.handle_timeout(now + self._ahead_ns)
        self._advance(now)

    def due_ns(self) -> int | None:
        """Return when the session wants its turn."""
        due_ns = None if self.is_over else self.session.next_timeout()
        return None if due_ns is None else due_ns - self._ahead_ns

    def check_counts(self) -> None:
        """Every packet received has exactly one fate."""
        stats = self.session.stats
        fates = stats.opened + stats.replayed + stats.refused + stats.foreign + stats.dropped
        held_back = len(self.session._pending)
        self.held_back_max = max(self.held_back_max, held_back)
        assert stats.received == fates + held_back

    @property
    def lost(self) -> int:
        """Packets between first and last opened that were not opened."""
        return self.session.state(self._world.now + self._ahead_ns).lost

    @property
    def first_opened_ns(self) -> int | None:
        """When the first packet was opened, by the world's clock."""
        opened_ns = self.session.state(self._world.now + self._ahead_ns).first_opened_ns
        return None if opened_ns is None else opened_ns - self._ahead_ns

    def crash(self) -> None:
        """Stop in the middle of whatever goes on."""
        self.has_crashed = True
        self.ended_ns = self._world.now
        self._leave()

    def _number(self, packet: bytes) -> int | None:
        mark = mark_of(packet)
        return next((n for studio in self._studios if (n := studio.sent.get(mark)) is not None), None)

    def _join(self) -> None:
        self._has_joined = True
        self._world.network.join(self.endpoint, DATA)
        self._world.network.join(self.endpoint, CONTROL)

    def _advance(self, now: int) -> None:
        if self.is_over:
            return
        own_ns = now + self._ahead_ns
        self._put_out(self.session.poll_payloads(own_ns))
        if not self._is_asking and (request := self.session.poll_fetch(own_ns)) is not None:
            self._ask(request, now)
        if self.session.is_over(own_ns):
            self.ended_ns = now
            self._put_out(self.session.drain(own_ns))
            self._leave()

    def _leave(self) -> None:
        for group in (DATA, CONTROL):
            self._world.network.leave(self.endpoint, group)

    def _put_out(self, payloads: list[bytes]) -> None:
        if not self.is_recording:
            return
        for each in payloads:
            self.numbers.append(number_of(each))
            self.wrong += each.count(0) < len(each) - 8

    def _ask(self, request: FetchRequest, now: int) -> None:
        self._is_asking = True
        if self.is_recording:
            self.fetched_ns.append(now)
        self._world.ask(self, request, self._answered)

    def _answered(self, answer: Answer | None, now: int) -> None:
        self._is_asking = False
        if self.is_over:
            return
        own_ns = now + self._ahead_ns
        if isinstance(answer, Grant):
            try:
                self.session.handle_grant(self.on_grant(answer), own_ns)
            except RemoteError:
                self.session.handle_fetch_failed(own_ns)
            if not self._has_joined:
                self._join()
        elif isinstance(answer, RefusedError):
            self.session.handle_fetch_failed(own_ns, 10_000_000_000)
        else:
            self.session.handle_fetch_failed(own_ns)
        self._advance(now)
