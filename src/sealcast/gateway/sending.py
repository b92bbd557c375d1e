"""Owns sending many channels from one event loop: one structure of departures, one client a credential."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sealcast.client import KeyServerClient
from sealcast.core.ports import Clock, Random
from sealcast.gateway.keeper import Keeper, State, keep_all
from sealcast.gateway.restart import Restart
from sealcast.gateway.standby import stand_by
from sealcast.sender.departures import Departures
from sealcast.sender.run import OBSERVE_S, SendSettings, Shared, send
from sealcast.sender.sources import Source
from sealcast.sender.status import SendStatus


@dataclass(frozen=True, slots=True)
class SendPlan:
    """One channel of many; `open_source` is called for each run.

    `has_more`, asked before each, says whether another run follows one that ended well. With `standby_ms` it
    sends only while no other sender of the channel was heard for so long.
    """

    settings: SendSettings
    open_source: Callable[[], Source]
    restart: Restart = "on-failure"
    has_more: Callable[[], bool] | None = None
    standby_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelSent:
    """What one channel has done: counts over all its runs, and the `status` of the latest."""

    channel: str
    state: State
    starts: int
    failures: int
    last_failure: str | None
    ended_by: str | None
    packets: int
    bytes: int
    unsent: int
    on_time: int
    late_ms_max: float
    status: SendStatus | None


@dataclass(frozen=True, slots=True)
class SendSummary:
    """What all have done. `on_time_share` is that of the packets that left within 2 ms of their time."""

    running: int
    waiting: int
    ended: int
    failed: int
    failures: int
    packets: int
    bytes: int
    unsent: int
    on_time_share: float | None
    late_ms_max: float
    channels: list[ChannelSent]


async def send_channels(
    plans: Sequence[SendPlan],
    *,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    observe: Callable[[SendSummary], None] | None = None,
) -> SendSummary:
    """Send all until the last has ended for good, or `stop`; return the summary. Raises nothing of a channel.

    `observe` is called twice a second. Plans with the same credential object share a client.
    """
    async with contextlib.AsyncExitStack() as stack:
        departures = Departures(clock)
        stack.callback(departures.close)
        clients: dict[int, Shared] = {}
        for plan in plans:
            settings = plan.settings
            if id(settings.credential) not in clients:
                client = KeyServerClient(settings.credential, random, settings.keep, choice=settings.servers)
                shared = Shared(await stack.enter_async_context(client), departures)
                clients[id(settings.credential)] = shared
        channels = [_Sent(plan, clients[id(plan.settings.credential)], clock, random, stop) for plan in plans]
        watching = asyncio.create_task(_watch(channels, observe))
        try:
            await keep_all([channel.keeper for channel in channels], stop)
        finally:
            watching.cancel()
        return _summary(channels)


class _Sent:
    """One channel: its keeper, and its counts over all runs."""

    def __init__(
        self, plan: SendPlan, shared: Shared, clock: Clock, random: Random, stop: asyncio.Event
    ) -> None:
        self._plan, self._shared, self._stop = plan, shared, stop
        self._clock, self._random = clock, random
        self._status: SendStatus | None = None
        self._before = (0, 0, 0, 0, 0.0)
        self.keeper = Keeper(plan.settings.channel, self._run, plan.restart, clock, random)

    async def _run(self) -> str | None:
        has_more = self._plan.has_more
        while has_more is None or has_more():
            ended_by = await self._run_once()
            if has_more is None or self._stop.is_set():
                return ended_by
        return "end of the schedule"

    async def _run_once(self) -> str | None:
        self._before, self._status = self._counts(), None
        clock, random, plan = self._clock, self._random, self._plan
        if plan.standby_ms is not None:
            settings, silent_ms = plan.settings, plan.standby_ms
            last = await stand_by(
                settings,
                plan.open_source,
                silent_ms=silent_ms,
                clock=clock,
                random=random,
                stop=self._stop,
                shared=self._shared,
                observe=self._note_turn,
            )
            return None if last is None else last.ended_by
        status = await send(
            plan.settings,
            plan.open_source(),
            clock=clock,
            random=random,
            stop=self._stop,
            observe=self._note,
            shared=self._shared,
        )
        self._note(status)
        return status.ended_by

    def _note_turn(self, status: SendStatus) -> None:
        """Note a standby's status; each of its turns on air counts from 0."""
        if self._status is not None and status.ssrc != self._status.ssrc:
            self._before = self._counts()
        self._status = status

    def _note(self, status: SendStatus) -> None:
        self._status = status

    def _counts(self) -> tuple[int, int, int, int, float]:
        """Return packets, bytes, unsent, on time and the worst delay, over all runs."""
        packets, size_bytes, unsent, on_time, late_ms = self._before
        now = self._status
        if now is None:
            return self._before
        return (
            packets + now.packets,
            size_bytes + now.bytes,
            unsent + now.unsent,
            on_time + now.on_time,
            max(late_ms, now.late_ms_max),
        )

    def report(self) -> ChannelSent:
        """Return what this channel has done."""
        packets, size_bytes, unsent, on_time, late_ms = self._counts()
        keeper = self.keeper
        return ChannelSent(
            channel=keeper.name,
            state=keeper.state,
            starts=keeper.starts,
            failures=keeper.failures,
            last_failure=keeper.last_failure,
            ended_by=keeper.ended_by,
            packets=packets,
            bytes=size_bytes,
            unsent=unsent,
            on_time=on_time,
            late_ms_max=round(late_ms, 3),
            status=self._status,
        )


async def _watch(channels: Sequence[_Sent], observe: Callable[[SendSummary], None] | None) -> None:
    while observe is not None:
        await asyncio.sleep(OBSERVE_S)
        observe(_summary(channels))


def _summary(channels: Sequence[_Sent]) -> SendSummary:
    reports = [channel.report() for channel in channels]
    states = [report.state for report in reports]
    packets = sum(report.packets for report in reports)
    return SendSummary(
        running=states.count(State.RUNNING),
        waiting=states.count(State.WAITING),
        ended=states.count(State.ENDED),
        failed=states.count(State.FAILED),
        failures=sum(report.failures for report in reports),
        packets=packets,
        bytes=sum(report.bytes for report in reports),
        unsent=sum(report.unsent for report in reports),
        on_time_share=round(sum(report.on_time for report in reports) / packets, 5) if packets else None,
        late_ms_max=max((report.late_ms_max for report in reports), default=0.0),
        channels=reports,
    )
