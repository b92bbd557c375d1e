"""Owns the source of a channel with a schedule: one programme after the other, each from its own instant on.

```
nothing ──► first one ahead: lease, key published, on air ──► its start ──► runs … ──► the next one's start
   ▲                                                                        key changes with the content │
   └──────────────── nothing for longer than `stay`: the run ends with BYE ◄─────────────────────────────┘
```
The wall clock says when a programme starts; a clock that is set goes with it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Self

import structlog

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock
from sealcast.gateway.programme import MS_PER_S, Agenda, Programme, Showing
from sealcast.sender.runs import Run
from sealcast.sender.sources import FileSource, Source, open_source, parse_rate_bits_per_s
from sealcast.sender.stage import Stage
from sealcast.wire.rtp import PAYLOAD_TYPE_MP2T

AHEAD_MS = 10_000
"""A run begins so long before its first programme: time for a lease, and for receivers to have the key."""

LOOKED_AT_MS = 60_000
"""So long before its start a programme's content is looked at once more: time for somebody to bring it."""

JOIN_MS = 5_000
"""Later than this a programme is joined in the middle; a shorter delay shifts it."""

HOLD_MS = 3_000
"""So long a programme waits for its key before it begins under the one on air, where it may."""

STEP_S = 1.0
"""How often the wall clock is looked at while nothing is to be done."""

POLL_S = 0.01
SHOWN_MAX = 1_000
"""Programmes remembered for the summary; one that repeats goes on for years."""

log = structlog.get_logger("sealcast.gateway")


@dataclass(frozen=True, slots=True)
class Shown:
    """What became of a programme: sent from `began_ms` on under `epoch`, or not at all, and why."""

    channel: str
    start_ms: int
    content: str
    began_ms: int | None = None
    epoch: int | None = None
    joined_after_ms: int = 0
    why_not: str | None = None

    @classmethod
    def of(cls, showing: Showing) -> Self:
        """Return one of which nothing is known yet."""
        return cls(showing.programme.channel, showing.start_ms, showing.programme.content)


def open_content(programme: Programme, interface: str | None = None) -> Source:
    """Return the source of a programme's content, opened by nobody yet; raises UsageError."""
    rate = None if programme.rate is None else parse_rate_bits_per_s(programme.rate)
    return open_source(programme.content, rate=rate, loop=programme.loop, interface=interface)


async def problem_of(programme: Programme) -> str | None:
    """Return why a programme could not be sent if it started now, None if nothing is known to be wrong."""
    try:
        content = open_content(programme)
        if isinstance(content, FileSource):
            await content.start()
            content.close()
    except SealcastError as error:
        return str(error)
    return None


class Playbill:
    """How far a channel's programmes have come, over all runs that send them; `shown` has the last ones."""

    def __init__(self, agenda: Agenda, clock: Clock) -> None:
        self._agenda, self._clock = agenda, clock
        self._done_ms = -1
        self.shown: deque[Shown] = deque(maxlen=SHOWN_MAX)

    def first(self) -> Showing | None:
        """Return what is to be sent now, or next, and was not sent before; None if there is nothing more."""
        showing = self._agenda.now_or_next(self._clock.wall_ns() // NS_PER_MS)
        if showing is not None and showing.start_ms <= self._done_ms:
            return self._agenda.next_after(self._done_ms)
        return showing

    def after(self, showing: Showing) -> Showing | None:
        """Return what starts after another programme."""
        return self._agenda.next_after(showing.start_ms)

    def note_done(self, showing: Showing) -> None:
        """Note that a programme is over: no other run sends it again."""
        self._done_ms = max(self._done_ms, showing.start_ms)


class Programmes:
    """A `Source` that sends the programmes of one channel; one object for each run."""

    def __init__(self, bill: Playbill, clock: Clock, *, stay_ms: int, interface: str | None = None) -> None:
        self._bill, self._clock, self._stay_ms = bill, clock, stay_ms
        self._interface = interface
        self._stage: Stage | None = None
        self._content: Source | None = None
        self._expected_ms: int | None = None
        self._first: Showing | None = None

    @property
    def payload_type(self) -> int:
        """Of what names none; each run of a programme names its own."""
        return PAYLOAD_TYPE_MP2T

    def take_stage(self, stage: Stage) -> None:
        """Take the run that sends this source."""
        self._stage = stage
        if self._first is not None and self._first.programme.lifetime_ms is not None:
            stage.use_lifetime(self._first.programme.lifetime_ms)

    async def start(self) -> None:
        """Wait until shortly before the first programme that can be sent."""
        self._first = await self._sendable(self._bill.first())
        if self._first is not None:
            await self._sleep_until(self._first.start_ms - AHEAD_MS)

    def __aiter__(self) -> AsyncIterator[Run]:
        return self._runs()

    def close(self) -> None:
        """Close what is open."""
        if self._content is not None:
            self._content.close()
            self._content = None

    async def _runs(self) -> AsyncIterator[Run]:
        showing = self._first
        while showing is not None:
            following = await self._sendable(self._bill.after(showing))
            is_open = await self._begin(showing)
            self._expect(following)
            if is_open:
                async for run in self._content_of(showing):
                    yield run
                self.close()
            await self._on_stage.drain()
            self._bill.note_done(showing)
            if following is None or following.start_ms - self._wall_ms() > self._stay_ms:
                return
            showing = following

    async def _begin(self, showing: Showing) -> bool:
        """Open the content and wait for its start and its key; False if it is not sent."""
        await self._sleep_until(showing.start_ms - LOOKED_AT_MS)
        if (problem := await problem_of(showing.programme)) is not None:
            log.warning("content is missing", programme=showing.programme.where, reason=problem)
        await self._sleep_until(showing.start_ms)
        late_ms = self._wall_ms() - showing.start_ms
        try:
            self._content = content = open_content(showing.programme, self._interface)
            await content.start()
            is_joined = late_ms > JOIN_MS and isinstance(content, FileSource)
            if is_joined and not await _join(content, late_ms):
                return self._skip(showing, "it is over by now")
            if not await self._change_key(showing):
                return self._skip(showing, "its key could not be had in time")
        except SealcastError as error:
            return self._skip(showing, str(error))
        where, epoch = showing.programme.where, self._on_stage.epoch
        joined_ms = late_ms if is_joined else 0
        log.info("programme", programme=where, epoch=epoch, joined_after_s=joined_ms // MS_PER_S)
        shown = Shown.of(showing)
        self._bill.shown.append(
            replace(shown, began_ms=self._wall_ms(), epoch=epoch, joined_after_ms=joined_ms)
        )
        return True

    async def _change_key(self, showing: Showing) -> bool:
        """Change the key with the content, or go on without as the programme says; False if it is over."""
        stage, programme = self._on_stage, showing.programme
        if not stage.has_sent or programme.change == "keep":
            return True
        if self._expected_ms != showing.start_ms:
            self._expect(showing)
        while not stage.change_now():
            now_ms = self._wall_ms()
            if programme.without_key == "extend" and now_ms - showing.start_ms > HOLD_MS:
                log.warning("begins under the key on air: its own cannot be had", programme=programme.where)
                stage.give_up_change()
                return True
            if showing.end_ms is not None and now_ms >= showing.end_ms:
                stage.give_up_change()
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _expect(self, showing: Showing | None) -> None:
        """Have the key of the next programme made and published ahead, to be changed with its content."""
        if showing is None or showing.programme.change == "keep":
            return
        self._expected_ms = showing.start_ms
        at_ns = self._clock.monotonic_ns() + self._until_ns(showing.start_ms)
        self._on_stage.expect_change(at_ns, showing.programme.lifetime_ms)

    async def _content_of(self, showing: Showing) -> AsyncIterator[Run]:
        """Give the runs of the content that is open, moved to where the stream's clock is now."""
        content = self._content
        if content is None:
            return
        base_ns, runs = self._on_stage.stream_ns(), aiter(content)
        limit_ns = None if showing.end_ms is None else self._until_ns(showing.end_ms)
        try:
            while (run := await self._next(runs, showing)) is not None:
                kept = run if limit_ns is None else run.until(limit_ns)
                if len(kept):
                    yield _moved(kept, base_ns, content.payload_type)
                if len(kept) < len(run):
                    return
        except SealcastError as error:
            log.warning("programme failed", programme=showing.programme.where, reason=str(error))

    async def _next(self, runs: AsyncIterator[Run], showing: Showing) -> Run | None:
        """Return the next run of a content; None at its end, or at the programme's."""
        try:
            if showing.end_ms is None:
                return await anext(runs)
            left_ns = self._until_ns(showing.end_ms)
            if left_ns <= 0:
                return None
            async with asyncio.timeout(left_ns / NS_PER_S):
                return await anext(runs)
        except (StopAsyncIteration, TimeoutError):
            return None

    async def _sendable(self, showing: Showing | None) -> Showing | None:
        """Return a programme, or the first after it, of which nothing is known that is wrong."""
        for _ in range(SHOWN_MAX):
            if showing is None or (problem := await problem_of(showing.programme)) is None:
                return showing
            if showing.start_ms - self._wall_ms() > LOOKED_AT_MS:
                log.warning("content is missing", programme=showing.programme.where, reason=problem)
                return showing  # Somebody may bring it until then.
            self._skip(showing, problem)
            self._bill.note_done(showing)
            showing = self._bill.after(showing)
        return None

    def _skip(self, showing: Showing, why: str) -> bool:
        self.close()
        log.error("programme is left out", programme=showing.programme.where, reason=why)
        self._bill.shown.append(replace(Shown.of(showing), why_not=why))
        return False

    async def _sleep_until(self, at_ms: int) -> None:
        """Wait for an instant of the wall clock, also where it is set meanwhile."""
        while (left_ns := self._until_ns(at_ms)) > 0:  # noqa: ASYNC110 - no event tells of a clock
            await asyncio.sleep(min(STEP_S, left_ns / NS_PER_S))

    def _until_ns(self, at_ms: int) -> int:
        return at_ms * NS_PER_MS - self._clock.wall_ns()

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS

    @property
    def _on_stage(self) -> Stage:
        assert self._stage is not None  # noqa: S101 - the run hands it over before it iterates
        return self._stage


async def _join(content: Source, late_ms: int) -> bool:
    """Begin a file in its middle; False if it is over by then."""
    return not isinstance(content, FileSource) or await content.join_after(late_ms * NS_PER_MS)


def _moved(run: Run, base_ns: int, payload_type: int) -> Run:
    """Return a run with its times counted from the beginning of the whole stream."""
    offsets = run.offsets_ns
    if isinstance(offsets, range):
        offsets = range(offsets.start + base_ns, offsets.stop + base_ns, offsets.step)
    elif offsets is not None:
        offsets = [offset + base_ns for offset in offsets]
    named = payload_type if run.payload_type is None else run.payload_type
    return replace(run, offsets_ns=offsets, payload_type=named)
