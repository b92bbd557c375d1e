"""Owns listening to what the key server pushes: event streams for the channels that are followed (S3-4).

```
follow(channel) ──► line (at most 64 channels) ── one stream at one of the addresses ──► take(event)
                      └── ends, is silent, refused: the next address after a random while, ever longer
```

Nothing here is needed for keys: SEAL packets tell of each change as well, so nobody hurries to come back.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from sealcast.client import limits
from sealcast.client.sse import EventReader
from sealcast.core.errors import FormatError, RefusedError, RemoteError, SealcastError, UnreachableError
from sealcast.core.ports import Random
from sealcast.messages.encoding import decode
from sealcast.messages.operations import EVENTS
from sealcast.messages.subscribing import Event

if TYPE_CHECKING:
    from sealcast.client.keyserver import KeyServerClient
    from sealcast.client.transfer import Stream

Take = Callable[[Event], None]

JITTER_STEPS = 1_000
FLOOD_S = 10.0
RETRIES_LOG2_MAX = 6

log = structlog.get_logger("sealcast.client")


class EventFeed:
    """The event streams of one party; safe for many channels in one event loop."""

    def __init__(self, client: "KeyServerClient", random: Random) -> None:
        self._client = client
        self._random = random
        self._lines: list[_Line] = []

    def follow(
        self, channel: int, addresses: Sequence[str], take: Take, *, spread_ms: int = 0
    ) -> Callable[[], None]:
        """Have `take` called with each event of a channel, in the running loop; return what ends that.

        `addresses` are those that a grant or lease told; without any nothing happens. `spread_ms` is over
        how long the audience spreads a question.
        """
        line = self._line_for(channel) if addresses else None
        if line is None:
            return lambda: None
        line.add(channel, addresses[: limits.SERVERS_MAX], take, spread_ms)

        def leave() -> None:
            line.remove(channel, take)
            if line.is_empty and line in self._lines:
                self._lines.remove(line)

        return leave

    def hears(self, channel: int) -> bool:
        """Whether a stream is open now that brings the events of a channel."""
        return any(line.is_open and line.follows(channel) for line in self._lines)

    async def close(self) -> None:
        """End all streams."""
        lines, self._lines = self._lines, []
        for line in lines:
            await line.close()

    def _line_for(self, channel: int) -> "_Line | None":
        for line in self._lines:
            if line.has_room_for(channel):
                return line
        if len(self._lines) >= limits.STREAMS_MAX:
            return None
        self._lines.append(_Line(self._client, self._random))
        return self._lines[-1]


class _Line:
    """One stream at a time, with all that belongs to keeping one."""

    def __init__(self, client: "KeyServerClient", random: Random) -> None:
        self._client = client
        self._random = random
        self._takers: dict[int, list[Take]] = {}
        self._addresses: tuple[str, ...] = ()
        self._place = 0
        self._spread_ms = 0
        self._failures = 0
        self._reason = ""
        self._is_open = False
        self._task: asyncio.Task[None] | None = None
        self._starting: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a stream is open now."""
        return self._is_open

    @property
    def is_empty(self) -> bool:
        """Whether it follows nothing."""
        return not self._takers

    def follows(self, channel: int) -> bool:
        """Whether a channel is among those that are followed."""
        return channel in self._takers

    def has_room_for(self, channel: int) -> bool:
        """Whether a channel may be added."""
        return channel in self._takers or len(self._takers) < limits.STREAM_CHANNELS_MAX

    def add(self, channel: int, addresses: Sequence[str], take: Take, spread_ms: int) -> None:
        """Follow one more channel: a stream that names it takes the place of the present one in a moment."""
        is_new = channel not in self._takers
        self._takers.setdefault(channel, []).append(take)
        if tuple(addresses) != self._addresses:
            self._addresses, self._place = tuple(addresses), self._random.below(len(addresses))
        self._spread_ms = max(0, spread_ms)
        if is_new and self._starting is None:
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(limits.STREAM_GATHER_S, self._start)

    def remove(self, channel: int, take: Take) -> None:
        """Follow a channel no more; the last one takes the stream with it."""
        takers = self._takers.get(channel, [])
        if take in takers:
            takers.remove(take)
        if not takers:
            self._takers.pop(channel, None)
        if self.is_empty:
            self._stop()

    async def close(self) -> None:
        """End the stream, and wait until it has."""
        self._takers.clear()
        task = self._task
        self._stop()
        if task is not None:
            await asyncio.wait((task,))

    def _start(self) -> None:
        self._stop()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        most_s = limits.STREAM_SPREAD_S + limits.STREAM_SPREAD_FACTOR * self._spread_ms / 1000
        await asyncio.sleep(self._some_of(most_s))
        while self._takers:
            began_s = loop.time()
            least_s = await self._listen_once()
            if loop.time() - began_s >= limits.STREAM_LIVED_S:
                self._failures = 0
            step_s = min(
                limits.STREAM_RETRY_S * 2 ** min(self._failures, RETRIES_LOG2_MAX), limits.STREAM_RETRY_S_MAX
            )
            self._failures += 1
            self._place = (self._place + 1) % len(self._addresses)
            await asyncio.sleep(max(least_s, step_s / 2) + self._some_of(max(most_s, step_s / 2)))

    async def _listen_once(self) -> float:
        """Listen until the stream ends, and say why it did; return how long the server wants us away."""
        address, least_s = self._addresses[self._place], 0.0
        try:
            channels = [str(channel) for channel in self._takers]
            stream = await self._client.open(address, EVENTS, channels=channels)
            try:
                self._reason, self._is_open = "", True
                log.debug("events are pushed to us", server=address, channels=len(channels))
                await self._read(stream)
            finally:
                self._is_open = False
                stream.close()
        except (UnreachableError, RemoteError) as error:
            self._explain(address, error)
        except RefusedError as error:
            self._explain(address, error)
            least_s = error.retry_after_s or 0.0
        return least_s

    async def _read(self, stream: "Stream") -> None:
        """Hand on what comes, to the end of the stream; raises UnreachableError, FormatError."""
        loop = asyncio.get_running_loop()
        reader, since_s, count = EventReader(), loop.time(), 0
        while chunk := await stream.read(limits.STREAM_IDLE_S):
            events = reader.feed(chunk)
            if loop.time() - since_s >= FLOOD_S:
                since_s, count = loop.time(), 0
            count += len(events)
            if count > limits.EVENTS_PER_10_S_MAX:
                raise FormatError("more events than there can be")
            for data in events:
                self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        try:
            event = decode(data, Event)
        except FormatError as error:
            # A kind that a later version knows, perhaps; the others are good for all that.
            log.debug("an event that we do not understand", reason=str(error))
            return
        for take in tuple(self._takers.get(event.channel, ())):
            take(event)

    def _explain(self, address: str, error: SealcastError) -> None:
        """Say once what is wrong, not at each try."""
        if str(error) != self._reason:
            self._reason = str(error)
            log.info(
                "no pushed events, the stream itself tells of changes", server=address, reason=str(error)
            )

    def _some_of(self, most_s: float) -> float:
        return most_s * self._random.below(JITTER_STEPS) / JITTER_STEPS
