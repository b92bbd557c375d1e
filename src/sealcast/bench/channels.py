"""Owns the measurement of many channels: how many of 8 Mbit/s one core sends on schedule, and at what cost.

All is real but the input: sessions that are on air, the pacer, pumps, one structure of departures, SEAL
packets that are signed, and two sockets a channel to groups that nobody joined on loopback. Cost is the
process's CPU time.
"""

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.bench.processes import one_core
from sealcast.bench.stage import LIFETIME_MS
from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock, Random
from sealcast.keys.lease import Lease, RunSlot
from sealcast.sender.actions import ConsumeSlot, PublishKey
from sealcast.sender.departures import Departures
from sealcast.sender.pacing import DATAGRAM_BYTES, RatePacer
from sealcast.sender.pump import Pump
from sealcast.sender.session import SenderSession
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_sender
from sealcast.wire.rtp import PAYLOAD_TYPE_MP2T

RATE_BITS_PER_S = 8_000_000
CHUNK_BYTES = 100 * DATAGRAM_BYTES
"""What a pump is fed at a time, near to what a file is read by: 132 ms of the stream."""

ON_TIME_SHARE = 0.99
"""So many departures within 2 ms of their time: on schedule."""

SCALES = (10, 50, 100, 200)
"""Always measured, so that the cost per packet can be compared."""

CHANNELS_MAX = 1_600
RESOLUTION = 0.05
"""The search ends when the answer is known within this part."""

WARM_UP_S = 0.7
SPREAD_NS = NS_PER_S // 5
"""Channels begin spread over this time, as they do where nobody arranges them."""

GROUPS = "239.255.83."
PORT_FIRST = 20_000
PORTS_PER_GROUP = 2_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What so many channels did at once.

    `packets_per_batch` were sealed together; `core_share` is the CPU time used, of one core.
    """

    channels: int
    on_time_share: float
    late_ms_max: float
    us_per_packet: float
    packets_per_batch: float
    core_share: float


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """`channels` is the most that were on schedule; `load` what else the machine did, one minute's mean."""

    channels: int
    rate_bits_per_s: int
    kib_per_channel: float
    load: float
    trials: list[Trial]


def measure_channels(clock: Clock, random: Random, seconds: float) -> ChannelFigures:
    """Measure `SCALES`, then search for the most; each trial takes `seconds` and a little more."""
    load = os.getloadavg()[0]
    # As `send --config` does: what the program itself is made of is looked at no more.
    gc.collect()
    gc.freeze()
    with one_core():
        trials: dict[int, Trial] = {}
        memory: dict[int, int] = {}
        for count in SCALES:
            trials[count] = asyncio.run(_try(count, clock, random, seconds, memory))
        most = _search(trials, lambda count: asyncio.run(_try(count, clock, random, seconds, memory)))
    # From the small trials: under too much load what could not leave yet would count as well.
    first, last = SCALES[:2]
    return ChannelFigures(
        channels=most,
        rate_bits_per_s=RATE_BITS_PER_S,
        kib_per_channel=round((memory[last] - memory[first]) / (last - first) / 1024, 1),
        load=round(load, 1),
        trials=[trials[count] for count in sorted(trials)],
    )


def _search(trials: dict[int, Trial], run: Callable[[int], Trial]) -> int:
    """Return the most channels on schedule: doubling, then halving the gap; fills in the trials made."""
    good = max((count for count, trial in trials.items() if trial.on_time_share >= ON_TIME_SHARE), default=0)
    bad = min((count for count in trials if count > good), default=CHANNELS_MAX + 1)
    while bad > CHANNELS_MAX and good * 2 <= CHANNELS_MAX:
        count = good * 2
        trials[count] = run(count)
        if trials[count].on_time_share >= ON_TIME_SHARE:
            good = count
        else:
            bad = count
    while bad - good > max(1, good * RESOLUTION) and bad <= CHANNELS_MAX:
        count = (good + bad) // 2
        trials[count] = run(count)
        if trials[count].on_time_share >= ON_TIME_SHARE:
            good = count
        else:
            bad = count
    return good


async def _try(count: int, clock: Clock, random: Random, seconds: float, memory: dict[int, int]) -> Trial:
    """Send that many channels for `seconds`; note the process's memory."""
    departures = Departures(clock)
    with contextlib.ExitStack() as stack:
        stack.callback(departures.close)
        channels = [_Channel(stack, number, clock, random, departures) for number in range(count)]
        async with asyncio.TaskGroup() as group:
            now = clock.monotonic_ns()
            feeding = [
                group.create_task(channel.feed(now + SPREAD_NS * channel.number // count))
                for channel in channels
            ]
            await asyncio.sleep(WARM_UP_S)
            begun = _Count(channels, clock)
            await asyncio.sleep(seconds)
            ended = _Count(channels, clock)
            for task in feeding:
                task.cancel()
        memory[count] = psutil.Process().memory_info().rss
    return _trial(channels, begun, ended)


class _Count:
    """What all channels did up to now, and the time it took."""

    def __init__(self, channels: "list[_Channel]", clock: Clock) -> None:
        self.sent = sum(channel.pump.sent for channel in channels)
        self.on_time = sum(channel.pump.on_time for channel in channels)
        self.batches = sum(channel.batches for channel in channels)
        self.late_ns_max = max(channel.pump.late_ns_max for channel in channels)
        self.cpu_ns = time.process_time_ns()
        self.now = clock.monotonic_ns()
        for channel in channels:
            channel.pump.late_ns_max = 0


def _trial(channels: "list[_Channel]", begun: _Count, ended: _Count) -> Trial:
    sent, cpu_ns = ended.sent - begun.sent, ended.cpu_ns - begun.cpu_ns
    return Trial(
        channels=len(channels),
        # Packets that did not leave at all in this time were due as well.
        on_time_share=round((ended.on_time - begun.on_time) / max(sent, _due(channels, begun, ended), 1), 5),
        late_ms_max=round(ended.late_ns_max / NS_PER_MS, 2),
        us_per_packet=round(cpu_ns / max(sent, 1) / 1e3, 2),
        packets_per_batch=round(sent / max(ended.batches - begun.batches, 1), 2),
        core_share=round(cpu_ns / (ended.now - begun.now), 3),
    )


def _due(channels: "list[_Channel]", begun: _Count, ended: _Count) -> int:
    """Return how many packets were due between two counts, less one a channel for the edges."""
    per_channel = (ended.now - begun.now) * RATE_BITS_PER_S // (8 * DATAGRAM_BYTES * NS_PER_S)
    return len(channels) * (per_channel - 1)


class _Channel:
    """One channel on air."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        number: int,
        clock: Clock,
        random: Random,
        departures: Departures,
    ) -> None:
        self.number = number
        self.batches = 0
        self._departures = departures
        group = f"{GROUPS}{1 + number // (PORTS_PER_GROUP // 2)}"
        port = PORT_FIRST + 2 * number % PORTS_PER_GROUP
        interface = choose_interface(group, "lo").interface
        data = stack.enter_context(open_sender(group, port, interface, ttl=0))
        self._control = stack.enter_context(open_sender(group, port + 1, interface, ttl=0))
        self._session = _on_air(ChannelNumber(1 + number), group, port, random, clock.monotonic_ns())
        self._chunk = random.bytes(CHUNK_BYTES)
        self.pump = Pump(
            self._session, data, random=random, payload_type=PAYLOAD_TYPE_MP2T, departed=self._departed
        )

    async def feed(self, start_ns: int) -> None:
        """Send without end, from the time on."""
        pacer = RatePacer(RATE_BITS_PER_S)
        self.pump.start(start_ns)
        while True:
            self.pump.feed(pacer.feed(self._chunk))
            await self._departures.feed(self.pump)

    def _departed(self, now: int) -> None:
        self.batches += 1
        if packets := self._session.poll_control(now):
            self._control.send_batch(packets)


def _on_air(number: ChannelNumber, group: str, port: int, random: Random, now: int) -> SenderSession:
    """Return a session that is on air, without a key server."""
    session = SenderSession(
        spec=ChannelSpec(number, f"bench-{number}", group, port, lifetime_ms=LIFETIME_MS),
        lease=Lease(tuple(RunSlot(Ssrc(number * 64 + i), Epoch(1 + i)) for i in range(16))),
        known={},
        sign=Ed25519PrivateKey.generate().sign,
        key_servers=(),
        random=random,
        now=now,
    )
    while not session.is_on_air:
        action = session.poll_action(now)
        if isinstance(action, PublishKey):
            session.handle_published(action.tek.key_id.epoch, now)
        elif isinstance(action, ConsumeSlot):
            session.handle_consumed(action.epoch, now)
    return session
