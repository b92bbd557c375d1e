"""Departures: everything leaves once, in order, when it is due, and what a socket refuses is counted."""

import asyncio

import pytest

from sealcast.core.errors import UnreachableError
from sealcast.core.ports import NS_PER_MS
from sealcast.sender.pacing import Datagram
from sealcast.sender.pump import BATCH_PACKETS_MAX, SEND_TRIES, Pump
from sealcast.sender.session import SenderSession
from sealcast.testing import SimClock, SimRandom
from simulation.parts import SECOND, make_sender, make_spec, payload, serve


class Wire:
    """Stands for a socket: takes at most `room` packets a call, and notes when."""

    def __init__(self, clock: SimClock, room: int = 1_000) -> None:
        self._clock = clock
        self.room = room
        self.fails = False
        self.batches: list[tuple[int, int]] = []
        self.packets: list[bytes] = []

    def send_batch(self, packets: list[bytes]) -> int:
        """Take what there is room for."""
        if self.fails:
            raise UnreachableError("the interface is down")
        taken = packets[: self.room]
        self.batches.append((self._clock.monotonic_ns(), len(taken)))
        self.packets += taken
        return len(taken)


class Stage:
    """A pump on simulated time: sleeping is what makes the time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = SimClock()
        self.wire = Wire(self.clock)
        self.session: SenderSession = make_sender(make_spec(600_000))
        serve(self.session, 0)
        self.departures: list[int] = []
        self.pump = Pump(
            self.session,
            self.wire,
            clock=self.clock,
            random=SimRandom(1),
            payload_type=33,
            departed=self.departures.append,
        )
        self.pump.start()
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))

    def send(self, datagrams: list[Datagram]) -> int:
        """Send, to the end."""
        return asyncio.run(self.pump.send(datagrams))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a fresh stage."""
    return Stage(monkeypatch)


def dated(*offsets_ms: int) -> list[Datagram]:
    """Return datagrams due at these times of the stream."""
    return [Datagram(payload(i), offset_ms * NS_PER_MS) for i, offset_ms in enumerate(offsets_ms)]


def test_each_leaves_when_it_is_due(stage: Stage) -> None:
    """Datagrams due within a millisecond leave together, the others in their own time."""
    assert stage.send(dated(0, 1, 20, 20, 40)) == 5
    assert stage.wire.batches == [(0, 2), (20 * NS_PER_MS, 2), (40 * NS_PER_MS, 1)]
    assert stage.departures == [0, 20 * NS_PER_MS, 40 * NS_PER_MS]
    assert stage.pump.unsent == 0


def test_batches_are_bounded(stage: Stage) -> None:
    """However many are due at once, SEAL packets get their turn between batches."""
    stage.send(dated(*[0] * 200))
    assert [packets for _, packets in stage.wire.batches] == [BATCH_PACKETS_MAX] * 3 + [8]
    assert len(stage.departures) == 4


def test_a_full_socket_is_offered_the_rest(stage: Stage) -> None:
    """What a socket does not take at once is offered again, in order, and nothing leaves twice."""
    stage.wire.room = 3
    stage.send(dated(*[0] * 10))
    sequence = [int.from_bytes(packet[2:4], "big") for packet in stage.wire.packets]
    assert sequence == list(range(10))
    assert stage.pump.unsent == 0


def test_a_socket_that_stays_full_is_given_up(stage: Stage) -> None:
    """After a tenth of a second the rest is counted as unsent, and the stream goes on."""
    stage.wire.room = 0
    stage.send(dated(0, 0, 0))
    assert (stage.pump.unsent, len(stage.wire.batches)) == (3, SEND_TRIES)
    stage.wire.room = 10
    stage.send(dated(200))
    assert int.from_bytes(stage.wire.packets[0][2:4], "big") == 3


def test_an_interface_that_is_down_does_not_end_the_stream(stage: Stage) -> None:
    """While the network is gone, packets are counted as unsent."""
    stage.wire.fails = True
    stage.send(dated(0, 0))
    stage.wire.fails = False
    stage.send(dated(10))
    assert (stage.pump.unsent, len(stage.wire.packets)) == (2, 1)


def test_after_a_suspension_there_is_no_burst(stage: Stage) -> None:
    """More than a second behind, the schedule moves, and later datagrams keep their distance."""
    stage.send(dated(0))
    stage.clock.advance(60 * SECOND)
    stage.send(dated(100, 200, 300))
    late = [at - 60 * SECOND for at, _ in stage.wire.batches[1:]]
    assert late == [0, 100 * NS_PER_MS, 200 * NS_PER_MS]
    assert stage.pump.late_ns_max > 59 * SECOND


def test_a_little_behind_catches_up(stage: Stage) -> None:
    """Less than a second behind, what is due leaves at once and the schedule stays."""
    stage.clock.advance(150 * NS_PER_MS)
    stage.send(dated(0, 100, 200))
    assert stage.wire.batches == [(150 * NS_PER_MS, 2), (200 * NS_PER_MS, 1)]


def test_live_datagrams_leave_at_once_with_their_own_header(stage: Stage) -> None:
    """A datagram without a time of its own leaves as it came; what its RTP header said is kept."""
    stage.clock.advance(SECOND)
    stage.send([Datagram(payload(1), None, timestamp=77, payload_type=96, marker=True, skipped=2)])
    (packet,) = stage.wire.packets
    assert (packet[1], packet[2:4], packet[4:8]) == (0x80 | 96, b"\0\x02", (77).to_bytes(4, "big"))
    assert stage.wire.batches == [(SECOND, 1)]


def test_the_end_waits_for_the_last_datagram(stage: Stage) -> None:
    """BYE leaves after the last datagram's time, although that may have left a millisecond early."""
    stage.send(dated(0, 50))
    asyncio.run(stage.pump.wait_for_end())
    assert stage.clock.monotonic_ns() >= 50 * NS_PER_MS
