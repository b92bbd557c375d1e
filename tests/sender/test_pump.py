"""Departures: everything leaves once, in order, when it is due, and what a socket refuses is counted."""

import pytest

from sealcast.core.errors import UnreachableError
from sealcast.core.ports import NS_PER_MS
from sealcast.sender.pump import BATCH_SPAN_NS, SEND_TRIES, Pump
from sealcast.sender.runs import Run
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

    def plain_send(self, segment_bytes: int) -> None:
        """Every train is sent with care."""

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Take what there is room for."""
        if self.fails:
            raise UnreachableError("the interface is down")
        packets = [bytes(data[at : at + segment_bytes]) for at in range(0, len(data), segment_bytes)]
        taken = packets[: self.room]
        self.batches.append((self._clock.monotonic_ns(), len(taken)))
        self.packets += taken
        return len(taken)


class Stage:
    """A pump on simulated time: the time passes from one departure to the next."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.wire = Wire(self.clock)
        self.session: SenderSession = make_sender(make_spec(600_000))
        serve(self.session, 0)
        self.departures: list[int] = []
        self.pump = Pump(
            self.session,
            self.wire,
            random=SimRandom(1),
            payload_type=33,
            departed=self.departures.append,
        )
        self.pump.start(self.clock.monotonic_ns())

    def send(self, run: Run) -> None:
        """Send, to the end."""
        self.pump.feed(run)
        while (due_ns := self.pump.next_due_ns(self.clock.monotonic_ns())) is not None:
            self.clock.advance(max(0, due_ns - self.clock.monotonic_ns()))
            self.pump.depart(self.clock.monotonic_ns())
            if self.pump.wants_attention:
                self.pump.attend(self.clock.monotonic_ns())
        assert self.pump.is_idle


@pytest.fixture
def stage() -> Stage:
    """Return a fresh stage."""
    return Stage()


def dated(*offsets_ms: float) -> Run:
    """Return payloads due at these times of the stream."""
    offsets_ns = [round(offset_ms * NS_PER_MS) for offset_ms in offsets_ms]
    return Run([payload(i) for i in range(len(offsets_ms))], offsets_ns)


def test_each_leaves_when_it_is_due(stage: Stage) -> None:
    """Datagrams due within a millisecond leave together, the others in their own time; then SEAL packets."""
    stage.send(dated(0, 1, 20, 20, 70))
    assert stage.wire.batches == [(0, 2), (20 * NS_PER_MS, 2), (70 * NS_PER_MS, 1)]
    assert stage.departures == [20 * NS_PER_MS, 70 * NS_PER_MS]
    assert stage.pump.unsent == 0


def test_batches_are_bounded(stage: Stage) -> None:
    """However many are due at once, SEAL packets get their turn between batches."""
    stage.send(dated(*[0] * 2_000))
    assert [packets for _, packets in stage.wire.batches] == [48] * 41 + [32]
    assert len(stage.departures) == 6


def test_a_batch_holds_little_of_the_stream(stage: Stage) -> None:
    """However far behind, no batch spans more than 2 ms of the stream, although more is sealed together."""
    stage.clock.advance(500 * NS_PER_MS)
    stage.send(dated(*(i * 0.25 for i in range(2_000))))
    most = BATCH_SPAN_NS // (NS_PER_MS // 4) + 1
    sizes = [packets for _, packets in stage.wire.batches]
    assert max(sizes) == most
    assert sum(sizes) == 2_000
    assert len(sizes) <= 2_000 / most * 1.15


def test_what_is_on_time_is_counted(stage: Stage) -> None:
    """Departures within 2 ms of the schedule count as on time, each packet by its own time."""
    stage.send(dated(0, 5, 10))
    assert (stage.pump.sent, stage.pump.on_time) == (3, 3)
    stage.clock.advance(10 * NS_PER_MS)
    stage.send(dated(15, 16, 19))
    assert (stage.pump.sent, stage.pump.on_time) == (6, 4)
    assert stage.pump.late_ns_max == 5 * NS_PER_MS


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
    assert stage.wire.batches == [(150 * NS_PER_MS, 1), (150 * NS_PER_MS, 1), (200 * NS_PER_MS, 1)]


def test_live_datagrams_leave_at_once_with_their_own_header(stage: Stage) -> None:
    """A datagram without a time of its own leaves as it came; what its RTP header said is kept."""
    stage.clock.advance(SECOND)
    stage.send(Run([payload(1)], timestamps=[77], payload_type=96, marker=True, skipped=2))
    (packet,) = stage.wire.packets
    assert (packet[1], packet[2:4], packet[4:8]) == (0x80 | 96, b"\0\x02", (77).to_bytes(4, "big"))
    assert stage.wire.batches == [(SECOND, 1)]


def test_a_stream_that_ends_in_the_middle_sends_what_is_sealed(stage: Stage) -> None:
    """What was sealed together leaves together in the end: the receiver misses nothing that was counted."""
    stage.pump.feed(dated(0, 5, 10, 15, 50))
    stage.pump.depart(0)
    assert len(stage.wire.packets) == 1
    stage.pump.flush(0)
    sequence = [int.from_bytes(packet[2:4], "big") for packet in stage.wire.packets]
    assert sequence == [0, 1, 2, 3]
    assert stage.session.state(0).packets == stage.pump.sent == 4
    stage.pump.flush(0)
    assert len(stage.wire.packets) == 4


def test_what_a_full_socket_does_not_take_at_the_end_is_counted(stage: Stage) -> None:
    """A stream that ends while its socket is full has sent, or counted as unsent, all that was sealed."""
    stage.pump.feed(dated(0, 5, 10, 15, 50))
    stage.wire.room = 0
    stage.pump.depart(0)
    stage.pump.flush(0)
    assert (stage.pump.sent, stage.pump.unsent, stage.wire.packets) == (4, 4, [])


def test_the_end_waits_for_the_last_datagram(stage: Stage) -> None:
    """BYE leaves after the last datagram's time, although that may have left a millisecond early."""
    stage.send(dated(0, 50))
    assert stage.pump.end_ns() >= 50 * NS_PER_MS
