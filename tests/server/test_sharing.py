"""Shows who is shared the keys of a channel's other senders, and what their reports change."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.answers import Shared
from sealcast.messages.requests import EpochTotals
from server.inprocess import InProcess
from server.running import Caller, Running, material


class Inside(Running):
    """A key server in this process, as tests of a running one ask it."""

    def __init__(self, inner: InProcess) -> None:
        super().__init__(Path(), "", inner.operator, asyncio.Event())
        self.inner = inner

    def caller(self, credential: Credential) -> Caller:
        """Return another party's side."""
        return self.inner.guest(credential)


class Scene:
    """A channel with two senders, of which the first is on air under epoch 1."""

    def __init__(self, inner: InProcess) -> None:
        self.inner, self.side = inner, Inside(inner)
        row = self.run(self.side.add_channel("news"))
        self.number: int = row.channel.number
        self.first, self.second = (
            self.run(self.side.register(name, "sender", channels=["news"])) for name in ("first", "second")
        )
        self.key = material(self.number, 1)
        self.ssrcs = [self.lease(caller) for caller in (self.first, self.second)]
        self.run(self.side.publish(self.first, "news", self.key))
        assert self.report(self.first, self.ssrcs[0], 1).status == 200

    def run(self, work: object) -> object:
        """Run something in the server's loop."""
        return self.inner.run(work)  # type: ignore[arg-type] # a coroutine

    def lease(self, caller: Caller) -> int:
        """Lease slots; return the SSRC of the first."""
        answer = self.run(caller.must(operations.LEASE, channel="news", first_unused=2**32 - 1))
        return int(answer.slots[0].ssrc)

    def report(self, caller: Caller, ssrc: int, epoch: int, **more: object) -> object:
        """Report an epoch on air."""
        return self.run(self.side.report(caller, "news", ssrc, epoch, **more))

    def share(self, caller: Caller, ssrc: int | None = None) -> Shared:
        """Return what a sender is told of the others."""
        return self.run(caller.must(operations.SHARE, channel="news", ssrc=ssrc))

    def epoch_state(self, epoch: int) -> str:
        """Return the state of an epoch."""
        return str(self.inner.read(f"SELECT state FROM epochs WHERE epoch = {int(epoch)}")[0][0])  # noqa: S608 - a number


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Return the scene, which is ended afterwards."""
    inner = InProcess()
    yield Scene(inner)
    inner.close()


def test_a_sender_of_the_channel_is_shared_the_key_on_air(scene: Scene) -> None:
    """Key, remaining time and counters, as a grant has them; nothing is granted to anybody by it."""
    told = scene.share(scene.second, scene.ssrcs[1])
    (key,) = told.grant.keys
    assert (key.material.key, key.state) == (scene.key.key, "current")
    assert [stream.ssrc for stream in told.grant.streams] == [scene.ssrcs[0]]
    assert (told.living, told.lead) == (1, False)
    assert scene.inner.read("SELECT COUNT(*) FROM grants") == [(0,)]


def test_nobody_else_is(scene: Scene) -> None:
    """Neither a sender of another channel nor a device."""
    scene.run(scene.side.add_channel("film", group="239.1.2.9"))
    stranger = scene.run(scene.side.register("stranger", "sender", channels=["film"]))
    device = scene.run(scene.side.register("tv", "device", channels=["news"]))
    for caller, problem in ((stranger, "not-your-channel"), (device, "wrong-role")):
        reply = scene.run(caller.ask(operations.SHARE, channel="news"))
        assert reply.problem == problem


def test_a_run_beside_reports_and_leaves(scene: Scene) -> None:
    """Its counters are told to joiners; its end is not the channel's, and that of the first is not either."""
    assert scene.report(scene.second, scene.ssrcs[1], 1).problem == "not-leased"
    assert scene.report(scene.second, scene.ssrcs[1], 1, shared=True).status == 200
    assert len(scene.share(scene.first, scene.ssrcs[0]).grant.streams) == 2
    assert scene.report(scene.first, scene.ssrcs[0], 1, ended=True).status == 200
    assert scene.epoch_state(1) == "ACTIVE"
    told = scene.share(scene.second, scene.ssrcs[1])
    assert (told.living, told.lead) == (0, True)
    assert scene.report(scene.second, scene.ssrcs[1], 1, shared=True, ended=True).status == 200
    assert scene.epoch_state(1) == "DRAINING"


def test_time_on_air_is_told_once(scene: Scene) -> None:
    """What a run beside tells of the epoch is left out, also where both are runs of one sender."""
    totals = [EpochTotals(epoch=1, duration_ms=5_000, packets=10, bytes=100)]
    other = int(scene.inner.read("SELECT ssrc FROM epochs WHERE epoch = 2")[0][0])
    scene.report(scene.first, scene.ssrcs[0], 1, totals=totals)
    scene.report(scene.second, scene.ssrcs[1], 1, shared=True, totals=totals)
    scene.report(scene.first, other, 1, shared=True, totals=totals)
    assert scene.inner.read("SELECT SUM(duration_ms), COUNT(*) FROM totals") == [(5_000, 1)]


def test_one_that_is_gone_is_followed_by_the_other(scene: Scene) -> None:
    """Fifteen seconds without a word of the first, and the second is told to lead."""
    scene.report(scene.second, scene.ssrcs[1], 1, shared=True)
    for _ in range(4):
        scene.inner.clock.advance(4_000_000_000)
        scene.report(scene.second, scene.ssrcs[1], 1, shared=True)
    assert scene.share(scene.second, scene.ssrcs[1]).lead
    scene.run(scene.side.publish(scene.second, "news", material(scene.number, 18)))
    assert scene.report(scene.second, scene.ssrcs[1], 18).status == 200
    late = scene.report(scene.first, scene.ssrcs[0], 1)
    assert late.answer.overtaken
