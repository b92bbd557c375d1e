"""One timer for many streams: all leave in order of their times, and none holds up or ends another."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.sender.departures import Departures
from sealcast.sender.pump import Pump
from sealcast.sender.runs import Run
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemClock
from simulation.parts import make_sender, make_spec, payload, serve

CLOCK = SystemClock()


class Wire:
    """Stands for the sockets of all streams: notes which stream sent how many packets, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.breaks: set[str] = set()

    def of(self, name: str) -> "_One":
        """Return the socket of one stream."""
        return _One(self, name)

    def count(self, name: str) -> int:
        """Return how many packets a stream sent."""
        return sum(packets for one, packets in self.sent if one == name)


class _One:
    def __init__(self, wire: Wire, name: str) -> None:
        self._wire, self._name = wire, name

    def plain_send(self, segment_bytes: int) -> None:
        """Every train is sent with care."""

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Take all."""
        if self._name in self._wire.breaks:
            raise LocalError(f"{self._name} is broken")
        packets = -(-len(data) // segment_bytes)
        self._wire.sent.append((self._name, packets))
        return packets


def make_pump(wire: Wire, name: str) -> Pump:
    """Return the pump of a stream that is on air and begins now."""
    session = make_sender(make_spec(600_000), CLOCK.monotonic_ns())
    serve(session, CLOCK.monotonic_ns())
    pump = Pump(session, wire.of(name), random=SimRandom(name), payload_type=33, departed=lambda _: None)
    pump.start(CLOCK.monotonic_ns())
    return pump


def dated(*offsets_ms: float) -> Run:
    """Return payloads due at these times of the stream."""
    return Run([payload(i) for i in range(len(offsets_ms))], [round(ms * NS_PER_MS) for ms in offsets_ms])


async def to_the_end(departures: Departures, pump: Pump) -> None:
    """Have a stream that was fed leave."""
    await departures.feed(pump)
    await departures.drain(pump)


Story = Callable[[Departures, Wire], Coroutine[None, None, None]]


def tell(story: Story) -> Wire:
    """Run a story in a loop of its own, and return what was sent."""

    async def run() -> Wire:
        wire = Wire()
        async with asyncio.timeout(30):
            await story(Departures(CLOCK), wire)
        return wire

    return asyncio.run(run())


def test_streams_leave_in_the_order_of_their_times() -> None:
    """Whatever the order in which they were fed, the earliest departure of all streams is the next."""

    async def story(departures: Departures, wire: Wire) -> None:
        pumps = [make_pump(wire, name) for name in "abc"]
        begun_ns = CLOCK.monotonic_ns()
        for pump, offset_ms in zip(pumps, (120, 40, 80), strict=True):
            pump.start(begun_ns)
            pump.feed(dated(offset_ms, offset_ms + 120))
        await asyncio.gather(*(to_the_end(departures, pump) for pump in pumps))

    assert [name for name, _ in tell(story).sent] == ["b", "c", "a", "b", "c", "a"]


def test_hundreds_of_streams_all_leave() -> None:
    """Three hundred streams with one timer: every packet of each leaves once."""

    async def story(departures: Departures, wire: Wire) -> None:
        pumps = [make_pump(wire, str(number)) for number in range(300)]
        begun_ns = CLOCK.monotonic_ns()
        for pump in pumps:
            pump.start(begun_ns)
            pump.feed(dated(*range(0, 100, 5)))
        await asyncio.gather(*(to_the_end(departures, pump) for pump in pumps))
        assert {pump.sent for pump in pumps} == {20}

    wire = tell(story)
    assert {wire.count(str(number)) for number in range(300)} == {20}


def test_a_stream_that_fails_ends_no_other() -> None:
    """Whoever feeds a stream that cannot be sent gets its error; the others go on."""

    async def story(departures: Departures, wire: Wire) -> None:
        good, bad = make_pump(wire, "good"), make_pump(wire, "bad")
        wire.breaks.add("bad")
        for pump in (good, bad):
            pump.feed(dated(0, 30, 60))
        going = asyncio.create_task(to_the_end(departures, good))
        with pytest.raises(LocalError, match="bad is broken"):
            await to_the_end(departures, bad)
        await going

    assert tell(story).count("good") == 3


def test_a_stream_is_forgotten() -> None:
    """What waits in a stream that was let go does not leave any more, and whoever feeds it is told."""

    async def story(departures: Departures, wire: Wire) -> None:
        gone, stays = make_pump(wire, "gone"), make_pump(wire, "stays")
        gone.feed(dated(50, *range(100, 400, 10)))
        stays.feed(dated(150))
        feeding = asyncio.create_task(departures.feed(gone))
        await departures.feed(stays)
        departures.forget(gone)
        await departures.drain(stays)
        with pytest.raises(asyncio.CancelledError):
            await feeding

    assert tell(story).sent == [("stays", 1)]


def test_a_live_stream_does_not_wait() -> None:
    """Payloads without times leave with the next turn of the loop, beside a stream that has time."""

    async def story(departures: Departures, wire: Wire) -> None:
        live, slow = make_pump(wire, "live"), make_pump(wire, "slow")
        slow.feed(dated(60_000))
        feeding = asyncio.create_task(departures.feed(slow))
        for _ in range(200):
            live.feed(Run([payload(1)], payload_type=33))
            await departures.feed(live)
        await departures.drain(live)
        departures.forget(slow)
        with pytest.raises(asyncio.CancelledError):
            await feeding

    assert tell(story).sent == [("live", 1)] * 200
