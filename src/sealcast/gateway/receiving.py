"""Owns receiving many channels in one event loop, each into its own output, with one client a credential."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sealcast.client import KeyServerClient
from sealcast.core.ports import Clock, Random
from sealcast.device.receivers import ReceiverLock
from sealcast.gateway.keeper import Keeper, State
from sealcast.gateway.restart import Restart
from sealcast.receiver.run import OBSERVE_S, receive
from sealcast.receiver.settings import ReceiveSettings
from sealcast.receiver.sinks import Sink
from sealcast.receiver.status import ReceiveStatus

OUTPUT_CLOSED = "output closed"


@dataclass(frozen=True, slots=True)
class ReceivePlan:
    """One channel of many; `open_sink` is called when its first run begins, and after its output closed.

    `lock` is its place among the receivers of this machine, by which it may be ended alone.
    """

    settings: ReceiveSettings
    output: str
    open_sink: Callable[[], Sink]
    restart: Restart = "always"
    lock: ReceiverLock | None = None


@dataclass(frozen=True, slots=True)
class ChannelReceived:
    """What one channel has done: counts over all its runs, and the `status` of the latest."""

    channel: str
    output: str
    state: State
    starts: int
    failures: int
    last_failure: str | None
    ended_by: str | None
    packets_opened: int
    lost: int
    bytes_written: int
    bytes_dropped: int
    sha256: str | None
    status: ReceiveStatus | None


@dataclass(frozen=True, slots=True)
class ReceiveSummary:
    """What all of them have done."""

    running: int
    waiting: int
    ended: int
    failed: int
    failures: int
    packets_opened: int
    lost: int
    bytes_written: int
    bytes_dropped: int
    channels: list[ChannelReceived]


async def receive_channels(
    plans: Sequence[ReceivePlan],
    *,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    observe: Callable[[ReceiveSummary], None] | None = None,
) -> ReceiveSummary:
    """Receive all until the last has ended for good, or `stop`; return the summary.

    Raises nothing of a channel. `observe` is called twice a second. Plans with the same credential object
    share a client.
    """
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[int, KeyServerClient] = {}
        for plan in plans:
            settings = plan.settings
            if id(settings.credential) not in clients:
                client = KeyServerClient(
                    settings.credential, random, settings.keep, settings.keys, choice=settings.servers
                )
                clients[id(settings.credential)] = await stack.enter_async_context(client)
        channels = [_Received(plan, clients[id(plan.settings.credential)], clock, random) for plan in plans]
        watching = asyncio.create_task(_watch(channels, observe))
        passing_on = asyncio.create_task(_pass_on(stop, channels))
        try:
            async with asyncio.TaskGroup() as group:
                for channel in channels:
                    group.create_task(channel.keep())
        finally:
            watching.cancel()
            passing_on.cancel()
            # In threads, side by side: a pipe whose reader is slow takes its time to close.
            await asyncio.gather(*(asyncio.to_thread(channel.close) for channel in channels))
        return _summary(channels)


class _Received:
    """One channel: its keeper, its output, and its counts over all runs."""

    def __init__(self, plan: ReceivePlan, client: KeyServerClient, clock: Clock, random: Random) -> None:
        self._plan, self._client = plan, client
        self.stop = asyncio.Event()
        self._clock, self._random = clock, random
        self._sink: Sink | None = None
        self._status: ReceiveStatus | None = None
        self._before = (0, 0)
        self.keeper = Keeper(str(plan.settings.target), self._run, plan.restart, clock, random)

    async def keep(self) -> None:
        """Keep it running until it has ended for good, or `stop` is set."""
        with self._plan.lock or contextlib.nullcontext():
            await self.keeper.keep(self.stop)

    def end_if_told(self) -> None:
        """End this channel alone if another program asked for it."""
        if self._plan.lock is not None and self._plan.lock.is_told_to_end():
            self.stop.set()

    async def _run(self) -> str | None:
        self._before, self._status = self._counts(), None
        if self._sink is None:
            # An output stays open from run to run, so that a recording goes on where it was.
            self._sink = self._plan.open_sink()
        status = await receive(
            self._plan.settings,
            self._sink,
            clock=self._clock,
            random=self._random,
            stop=self.stop,
            observe=self._note,
            client=self._client,
        )
        self._note(status)
        self._note_end(status)
        if status.ended_by == OUTPUT_CLOSED:
            self.close()
            self._sink = None
        return status.ended_by

    def close(self) -> None:
        """Close the output; may be called again."""
        if self._sink is not None:
            self._sink.close()

    def _note(self, status: ReceiveStatus) -> None:
        self._status = status

    def _note_end(self, status: ReceiveStatus) -> None:
        """Leave behind how far a run came that has ended."""
        index = status.reception.last_index if status.reception is not None else None
        if self._plan.lock is not None and index is not None:
            self._plan.lock.note_last(index)

    def _counts(self) -> tuple[int, int]:
        """Return packets opened and lost, over all runs."""
        opened, lost = self._before
        now = self._status
        return self._before if now is None else (opened + now.packets_opened, lost + now.lost)

    def report(self) -> ChannelReceived:
        """Return what this channel has done."""
        opened, lost = self._counts()
        keeper, sink = self.keeper, self._sink
        return ChannelReceived(
            channel=keeper.name,
            output=self._plan.output,
            state=keeper.state,
            starts=keeper.starts,
            failures=keeper.failures,
            last_failure=keeper.last_failure,
            ended_by=keeper.ended_by,
            packets_opened=opened,
            lost=lost,
            bytes_written=sink.written_bytes if sink else 0,
            bytes_dropped=sink.dropped_bytes if sink else 0,
            sha256=sink.sha256() if sink else None,
            status=self._status,
        )


async def _watch(channels: Sequence[_Received], observe: Callable[[ReceiveSummary], None] | None) -> None:
    while True:
        await asyncio.sleep(OBSERVE_S)
        for channel in channels:
            channel.end_if_told()
        if observe is not None:
            observe(_summary(channels))


async def _pass_on(stop: asyncio.Event, channels: Sequence[_Received]) -> None:
    await stop.wait()
    for channel in channels:
        channel.stop.set()


def _summary(channels: Sequence[_Received]) -> ReceiveSummary:
    reports = [channel.report() for channel in channels]
    states = [report.state for report in reports]
    return ReceiveSummary(
        running=states.count(State.RUNNING),
        waiting=states.count(State.WAITING),
        ended=states.count(State.ENDED),
        failed=states.count(State.FAILED),
        failures=sum(report.failures for report in reports),
        packets_opened=sum(report.packets_opened for report in reports),
        lost=sum(report.lost for report in reports),
        bytes_written=sum(report.bytes_written for report in reports),
        bytes_dropped=sum(report.bytes_dropped for report in reports),
        channels=reports,
    )
