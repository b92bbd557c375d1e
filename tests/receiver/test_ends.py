"""Shows how a run ends towards the router and the key server: it leaves the group, then tells of its stop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.watcher import CLOCK, RANDOM, until
from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, SealcastError, UsageError
from sealcast.messages import operations
from sealcast.receiver import attendance
from sealcast.receiver import group as joined
from sealcast.receiver.presence import Sign
from sealcast.receiver.run import receive
from sealcast.receiver.settings import ReceiveSettings
from sealcast.receiver.sinks import open_sink
from sealcast.receiver.status import ReceiveStatus
from sealcast.receiver.stopping import ReceptionEnd, stop_reception
from sealcast.transport.interfaces import Interface
from sealcast.transport.multicast import MulticastReceiver, open_receiver
from server.running import Caller, Running, running
from server.test_request_key import on_air, subscriber


class Run:
    """A receiver's run in this process; `joined_at_stop` says how many sockets were open at each stop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.joined_at_stop: list[int] = []
        self.receivers: list[MulticastReceiver] = []
        self.signs: list[Sign | None] = []
        self.stop = asyncio.Event()
        self.sink = open_sink(str(folder / "out.ts"), "lo")
        self.seen: list[ReceiveStatus] = []
        monkeypatch.setattr(attendance, "stop_reception", self._stop)
        monkeypatch.setattr(joined, "open_receiver", self._open)

    def _open(self, group: str, port: int, interface: Interface, source: str | None) -> MulticastReceiver:
        self.receivers.append(open_receiver(group, port, interface, source))
        return self.receivers[-1]

    async def _stop(
        self, client: KeyServerClient, channel: str, sign: Sign | None, within_s: float
    ) -> ReceptionEnd:
        self.joined_at_stop.append(sum(receiver.fileno() >= 0 for receiver in self.receivers))
        self.signs.append(sign)
        return await stop_reception(client, channel, sign, within_s)

    async def until_ended(self, device: Caller, **more: object) -> ReceiveStatus:
        """Run to the end."""
        settings = ReceiveSettings(credential=device.credential, target="news", interface="lo", **more)  # type: ignore[arg-type]
        return await receive(
            settings, self.sink, clock=CLOCK, random=RANDOM, stop=self.stop, observe=self.seen.append
        )


Story = Callable[[Running, Caller, Run], object]


async def reasons(server: Running) -> list[str | None]:
    """Return how the receptions ended, the oldest first."""
    answer = await server.operator.must(operations.RECEPTION_LIST, history=True)
    return [row.reason for row in reversed(answer.receptions)]


def test_every_end_leaves_first_and_then_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop, idle, or failing: the group is left, the stop acknowledged, and history has it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            told = Run(monkeypatch, tmp_path)
            running_run = asyncio.create_task(told.until_ended(device))
            await until(lambda: told.receivers)
            told.stop.set()
            summary = await running_run
            assert summary.ended_by == "stopped"
            assert summary.reception is not None
            assert (summary.reception.acknowledged, summary.reception.by) == (True, server.url)

            idle = Run(monkeypatch, tmp_path)
            summary = await idle.until_ended(device, idle_exit_s=0.1)
            assert summary.ended_by == "idle"
            assert summary.reception is not None
            assert summary.reception.acknowledged

            failed = Run(monkeypatch, tmp_path)

            def learned(_: object) -> None:
                raise UsageError("the disk is full")

            with pytest.raises(SealcastError, match="the disk is full"):
                await failed.until_ended(device, learned=learned)
            for ended in (told, idle, failed):
                assert ended.joined_at_stop == [0]
            assert await reasons(server) == ["stopped"] * 3

    asyncio.run(story())


def test_who_was_never_permitted_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is refused at first ends with the reason, and leaves no trace of a reception."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            stranger = await server.register("stranger", "device")
            refused = Run(monkeypatch, tmp_path)
            with pytest.raises(RefusedError) as caught:
                await refused.until_ended(stranger)
            assert caught.value.type == "not-subscribed"
            assert (refused.joined_at_stop, refused.receivers) == ([], [])
            assert await reasons(server) == []

    asyncio.run(story())


def test_a_removed_device_with_nothing_to_open_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes that its keys open, the no to a heartbeat is the end, with the reason."""

    async def story() -> None:
        async with running(tmp_path, heartbeat_ms=200) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            ended = Run(monkeypatch, tmp_path)
            running_run = asyncio.create_task(ended.until_ended(device))
            await until(lambda: ended.receivers)
            await server.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            with pytest.raises(RefusedError) as caught:
                await asyncio.wait_for(running_run, 20)
            assert caught.value.type == "not-subscribed"
            assert ended.joined_at_stop == [0]

    asyncio.run(story())
