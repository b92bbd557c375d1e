"""Sealed pieces that the departures send themselves: once and in order, whatever the socket says."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sealcast.core.errors import LocalError, UnreachableError
from sealcast.core.ports import NS_PER_MS
from sealcast.sender.departures import Departures
from sealcast.sender.pump import SEND_TRIES, Pump
from sealcast.sender.runs import Run
from sealcast.sender.session import SenderSession
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemClock
from simulation.parts import make_sender, make_spec, payload, serve

CLOCK = SystemClock()
PACKETS = 120


class Air:
    """Stands for a socket: takes whole trains, but for the calls that `says` refuses or cuts short."""

    def __init__(self, says: Callable[[int], int | None] = lambda _: None) -> None:
        self._says = says
        self.calls = 0
        self.plain = 0
        self.packets: list[bytes] = []
        self.error: Exception | None = None

    def plain_send(self, segment_bytes: int) -> Callable[[memoryview], object]:
        """Return what takes a train or raises."""

        def send(data: memoryview) -> None:
            self.calls += 1
            if self.error is not None or self._says(self.calls) is not None:
                raise BlockingIOError
            self.plain += 1
            self._take(data, segment_bytes)

        return send

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Take what there is room for."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        room = self._says(self.calls)
        return self._take(data[: room * segment_bytes] if room is not None else data, segment_bytes)

    def _take(self, data: memoryview, segment_bytes: int) -> int:
        packets = [bytes(data[at : at + segment_bytes]) for at in range(0, len(data), segment_bytes)]
        self.packets += packets
        return len(packets)

    def sequence(self) -> list[int]:
        """Return the SEQ of each packet that left."""
        return [int.from_bytes(packet[2:4], "big") for packet in self.packets]


class Stream:
    """A pump and its session, fed with 120 packets a millisecond apart: two to a piece."""

    def __init__(self, air: Air, name: str = "one") -> None:
        self.air = air
        self.session: SenderSession = make_sender(make_spec(600_000), CLOCK.monotonic_ns())
        serve(self.session, CLOCK.monotonic_ns())
        self.pump = Pump(self.session, air, random=SimRandom(name), payload_type=33, departed=lambda _: None)
        self.pump.start(CLOCK.monotonic_ns())

    async def run(self, departures: Departures) -> None:
        """Send to the end."""
        self.pump.feed(Run([payload(i) for i in range(PACKETS)], range(0, PACKETS * NS_PER_MS, NS_PER_MS)))
        await departures.feed(self.pump)
        await departures.drain(self.pump)


Story = Callable[[Departures], Coroutine[None, None, None]]


def tell(story: Story) -> None:
    """Run a story in a loop of its own."""

    async def run() -> None:
        departures = Departures(CLOCK)
        async with asyncio.timeout(30):
            await story(departures)
        departures.close()

    asyncio.run(run())


def test_every_packet_leaves_once_and_in_order() -> None:
    """Thirty streams at the same times: each packet leaves once, in order, nearly all of them handed over."""
    streams = [Stream(Air(), str(number)) for number in range(30)]

    async def story(departures: Departures) -> None:
        await asyncio.gather(*(stream.run(departures) for stream in streams))

    tell(story)
    for stream in streams:
        assert stream.air.sequence() == list(range(PACKETS))
        assert (stream.pump.sent, stream.pump.unsent, stream.pump.is_idle) == (PACKETS, 0, True)
        assert stream.air.plain >= PACKETS // 4


@pytest.mark.parametrize("every", [2, 3, 7])
def test_a_socket_that_is_full_now_and_then_delays_but_loses_nothing(every: int) -> None:
    """Whatever a socket refuses, whole or in part, leaves before what comes behind it, once."""
    bad = Stream(Air(lambda call: call % 2 if call % every == 0 else None), "bad")
    good = Stream(Air(), "good")

    async def story(departures: Departures) -> None:
        await asyncio.gather(bad.run(departures), good.run(departures))

    tell(story)
    for stream in (bad, good):
        assert stream.air.sequence() == list(range(PACKETS))
        assert (stream.pump.sent, stream.pump.unsent) == (PACKETS, 0)


def test_a_network_that_is_down_is_counted() -> None:
    """Nothing leaves and all is counted as unsent, packet by packet; the stream goes on to its end."""
    stream = Stream(Air())
    stream.air.error = UnreachableError("the interface is down")
    tell(stream.run)
    assert (stream.pump.sent, stream.pump.unsent, stream.air.packets) == (PACKETS, PACKETS, [])


def test_a_socket_that_stays_full_is_given_up() -> None:
    """A piece that does not leave in a hundred tries is counted, and the next one is offered."""
    stream = Stream(Air(lambda call: 0 if call <= SEND_TRIES + 2 else None))
    tell(stream.run)
    assert 1 <= stream.pump.unsent <= 3
    assert stream.air.sequence() == list(range(stream.pump.unsent, PACKETS))


def test_a_stream_that_breaks_ends_no_other() -> None:
    """An error that is no matter of the network goes to whoever feeds that stream."""
    bad, good = Stream(Air(), "bad"), Stream(Air(), "good")
    bad.air.error = LocalError("broken")

    async def story(departures: Departures) -> None:
        going = asyncio.create_task(good.run(departures))
        with pytest.raises(LocalError, match="broken"):
            await bad.run(departures)
        departures.forget(bad.pump)
        await going

    tell(story)
    assert good.air.sequence() == list(range(PACKETS))


def test_a_stream_that_is_forgotten_takes_its_pieces_back() -> None:
    """Ended in the middle, a stream sends at once what is sealed: all that was counted has left, once."""
    stream = Stream(Air())

    async def story(departures: Departures) -> None:
        going = asyncio.create_task(stream.run(departures))
        for _ in range(PACKETS):
            if len(stream.air.packets) < PACKETS // 3:
                await asyncio.sleep(0.001)
        departures.forget(stream.pump)
        with pytest.raises(asyncio.CancelledError):
            await going
        stream.pump.flush(CLOCK.monotonic_ns())

    tell(story)
    sealed = stream.session.state(CLOCK.monotonic_ns()).packets
    assert stream.air.sequence() == list(range(sealed))
    assert (stream.pump.sent, stream.pump.unsent) == (sealed, 0)
