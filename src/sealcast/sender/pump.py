"""Owns departures: takes datagrams with offsets, seals those that are due and sends them on time."""

import asyncio
from collections.abc import Callable

from sealcast.core.errors import UnreachableError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock, Random
from sealcast.sender.pacing import Datagram, rtp_timestamp
from sealcast.sender.session import Media, SenderSession
from sealcast.transport.multicast import MulticastSender

EARLY_NS = NS_PER_MS
"""Datagrams due within the next millisecond leave with those due now: the timer is no finer."""

BEHIND_NS_MAX = NS_PER_S
"""Further behind than this (a suspended process), the schedule moves instead of sending a burst."""

BATCH_PACKETS_MAX = 64
SEND_TRIES = 100
"""How often a full socket is offered a batch, a millisecond apart, before the rest is counted as unsent."""


class Pump:
    """Sends one stream. `unsent` counts what the socket did not take; `late_ns_max` the worst delay."""

    def __init__(
        self,
        session: SenderSession,
        sender: MulticastSender,
        *,
        clock: Clock,
        random: Random,
        payload_type: int,
        departed: Callable[[int], None],
    ) -> None:
        """`departed` is called with the time after each batch: SEAL packets are due by number as well."""
        self._session = session
        self._sender = sender
        self._clock = clock
        self._departed = departed
        self._payload_type = payload_type
        self._timestamp_base = random.below(1 << 32)
        self._start_ns = 0
        self._last_offset_ns = 0
        self.unsent = 0
        self.late_ns_max = 0

    def start(self) -> None:
        """Put the zero of the stream's clock at this instant."""
        self._start_ns = self._clock.monotonic_ns()

    def offset_ns(self, datagram: Datagram) -> int:
        """Return a datagram's time on the stream's clock; of one that leaves at once, the present."""
        if datagram.offset_ns is not None:
            return datagram.offset_ns
        return self._clock.monotonic_ns() - self._start_ns

    async def send(self, datagrams: list[Datagram]) -> int:
        """Send all, each when it is due; return how many there were."""
        due: list[Media] = []
        for datagram in datagrams:
            offset_ns = self.offset_ns(datagram)
            if due and (len(due) >= BATCH_PACKETS_MAX or not self._is_due(offset_ns)):
                await self._depart(due)
                due = []
            await self._wait_until_due(offset_ns)
            self._last_offset_ns = offset_ns
            due.append(self._media(datagram, offset_ns))
        if due:
            await self._depart(due)
        return len(datagrams)

    async def wait_for_end(self) -> None:
        """Return when the last datagram's time has come, so that BYE does not overtake it."""
        await self._wait_until_due(self._last_offset_ns + EARLY_NS)

    def _is_due(self, offset_ns: int) -> bool:
        return self._start_ns + offset_ns - self._clock.monotonic_ns() <= EARLY_NS

    async def _wait_until_due(self, offset_ns: int) -> None:
        wait_ns = self._start_ns + offset_ns - self._clock.monotonic_ns()
        if wait_ns > EARLY_NS:
            await asyncio.sleep(wait_ns / NS_PER_S)
            wait_ns = self._start_ns + offset_ns - self._clock.monotonic_ns()
        if -wait_ns > BEHIND_NS_MAX:
            self._start_ns -= wait_ns
        self.late_ns_max = max(self.late_ns_max, -wait_ns)

    async def _depart(self, media: list[Media]) -> None:
        now = self._clock.monotonic_ns()
        packets = self._session.seal(media, now)
        for _ in range(SEND_TRIES):
            try:
                packets = packets[self._sender.send_batch(packets) :]
            except UnreachableError:
                break
            if not packets:
                self._departed(now)
                return
            await asyncio.sleep(NS_PER_MS / NS_PER_S)
        self.unsent += len(packets)

    def _media(self, datagram: Datagram, offset_ns: int) -> Media:
        timestamp = datagram.timestamp
        return Media(
            payload=datagram.payload,
            timestamp=rtp_timestamp(offset_ns, self._timestamp_base) if timestamp is None else timestamp,
            payload_type=self._payload_type if datagram.payload_type is None else datagram.payload_type,
            marker=datagram.marker,
            skipped=datagram.skipped,
        )
