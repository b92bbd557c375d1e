"""Shows a device's removal at the key server: one unit of work, and a fence that its sender has to pass."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sealcast.messages import operations
from sealcast.messages.answers import FenceOrder
from server.running import Caller, Running, material, running
from storage.places import connect

pytestmark = pytest.mark.usefixtures("both_databases")

FENCES = "SELECT epoch, is_urgent, reached_at_ms IS NOT NULL FROM fences ORDER BY number"
ENDED = "SELECT device, ended_by, fence_epoch FROM subscriptions WHERE removed_at_ms IS NOT NULL ORDER BY id"
OVER = "SELECT device, reason FROM receptions WHERE ended_at_ms IS NOT NULL ORDER BY number"
AUDIT = "SELECT what, subject FROM audit WHERE what LIKE '%-remove'"


def rows(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what the database says on disk."""
    with connect(directory / "keyserver.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


class Stage:
    """A channel with epoch 1 on air and 2 published; tv has both keys, radio has none yet."""

    def __init__(self, server: Running, number: int, sender: Caller, ssrc: int) -> None:
        self.server, self.number, self.sender, self.ssrc = server, number, sender, ssrc

    @classmethod
    async def at(cls, server: Running) -> "Stage":
        """Set the stage at a server."""
        number = (await server.add_channel("news")).channel.number
        sender = await server.register("studio", "sender", channels=["news"])
        lease = await sender.must(operations.LEASE, channel="news")
        stage = cls(server, number, sender, lease.slots[0].ssrc)
        await stage.publish(1)
        await stage.report(1)
        await stage.publish(2)
        stage.tv = await server.register("tv", "device", channels=["news"])
        stage.radio = await server.register("radio", "device", channels=["news"])
        assert await stage.granted(stage.tv) == [1, 2]
        return stage

    tv: Caller
    radio: Caller

    async def publish(self, epoch: int) -> None:
        """Publish the key of an epoch."""
        assert (await self.server.publish(self.sender, "news", material(self.number, epoch))).status == 200

    async def report(self, epoch: int) -> FenceOrder | None:
        """Report an epoch on air; return the order that comes back."""
        reply = await self.server.report(self.sender, "news", self.ssrc, epoch)
        assert reply.status == 200, reply.detail
        order: FenceOrder | None = reply.answer.fence
        return order

    async def granted(self, device: Caller) -> list[int]:
        """Return the epochs whose keys a device is given."""
        grant = await device.must(operations.KEYS, channel="news")
        return [int(key.material.key_id[8:], 16) for key in grant.keys]

    async def remove(self, device: str, *, now: bool = False) -> Any:
        """Take a device off the list."""
        return await self.server.operator.must(
            operations.SUBSCRIBER_REMOVE, channel="news", device=device, now=now
        )


def test_removal_now_skips_the_key_that_the_device_has(tmp_path: Path) -> None:
    """The sender is told with each report until the fence is behind; the others get what comes instead."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            removed = await stage.remove("tv", now=True)
            assert (removed.channel, removed.on_air, removed.fence_epoch) == ("news", 1, 3)
            assert (removed.skipped, removed.window_ms) == ([2], 2_000)
            assert (await stage.tv.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            order = FenceOrder(epoch=3, window_ms=2_000, urgent=True)
            assert [await stage.report(1), await stage.report(1)] == [order, order]
            assert await stage.granted(stage.radio) == [1, 2]
            lease = await stage.sender.must(operations.LEASE, channel="news", first_unused=2)
            assert [slot.epoch for slot in lease.slots] == list(range(3, 19))
            assert lease.published == []
            await stage.publish(3)
            assert await stage.granted(stage.radio) == [1, 3]
            assert rows(tmp_path, FENCES) == [(3, 1, 0)]
            assert await stage.report(3) is None
            assert rows(tmp_path, FENCES) == [(3, 1, 1)]
            assert await stage.granted(stage.radio) == [3]
            who = {"channel": "news", "device": "tv"}
            again = await server.operator.ask(operations.SUBSCRIBER_REMOVE, **who)
            assert (again.problem, "subscriber add" in again.detail) == ("not-subscribed", False)
            again = await server.operator.ask(operations.SUBSCRIBER_REMOVE, **who, now=True)
            assert (again.problem, "subscriber add" in again.detail) == ("not-subscribed", True)
        skipped = "SELECT state, wrapped_key, on_air_at_ms FROM epochs WHERE epoch = 2"
        assert rows(tmp_path, skipped) == [("RETIRED", None, None)]
        assert rows(tmp_path, ENDED) == [("tv", "removed", 3)]
        assert rows(tmp_path, OVER) == [("tv", "removed")]
        assert rows(tmp_path, AUDIT) == [("subscriber-remove", "news tv")]

    asyncio.run(story())


def test_removal_without_hurry(tmp_path: Path) -> None:
    """A device that has only the key on air is shut out by the schedule; else a key is skipped."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            quiet = await stage.remove("radio")
            assert (quiet.fence_epoch, quiet.skipped, quiet.window_ms) == (2, [], None)
            assert await stage.report(1) is None
            removed = await stage.remove("tv")
            assert (removed.fence_epoch, removed.skipped) == (3, [2])
            assert await stage.report(1) == FenceOrder(epoch=3, window_ms=2_000, urgent=False)
        assert rows(tmp_path, ENDED) == [("tv", "removed", 3), ("radio", "removed", 2)]

    asyncio.run(story())


def test_a_sender_that_had_not_heard_is_hurried(tmp_path: Path) -> None:
    """An epoch that goes on air past the fence is open to the removed device: the next change is at once."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            await stage.remove("tv")
            assert await stage.report(2) == FenceOrder(epoch=3, window_ms=2_000, urgent=True)
            assert await stage.report(2) == FenceOrder(epoch=3, window_ms=2_000, urgent=True)
            assert await stage.report(3) is None

    asyncio.run(story())


def test_a_run_below_one_that_died_hears_of_the_fence(tmp_path: Path) -> None:
    """A sender that goes on under an older epoch, because the later run is mute, is told too."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            other = await server.register("standby", "sender", channels=["news"])
            lease = await other.must(operations.LEASE, channel="news")
            later = lease.slots[0]
            assert (await server.publish(other, "news", material(stage.number, later.epoch))).status == 200
            assert (await server.report(other, "news", later.ssrc, later.epoch)).answer.fence is None
            removed = await stage.remove("tv", now=True)
            assert removed.fence_epoch == later.epoch + 1
            assert await stage.report(1) == FenceOrder(epoch=later.epoch + 1, window_ms=2_000, urgent=True)

    asyncio.run(story())


def test_who_was_removed_does_not_let_itself_in(tmp_path: Path) -> None:
    """On an open channel a removed device subscribes no more by itself; the operator may put it back."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=True)
            await stage.remove("tv", now=True)
            again = await stage.tv.ask(operations.SUBSCRIBE, channel="news", user="Ada")
            assert (again.problem, "by its operator" in again.detail) == ("not-in-good-standing", True)
            assert (await stage.tv.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            assert await stage.granted(stage.tv) != []
            await stage.remove("tv")
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            anew = await server.register("tv", "device")
            await anew.must(operations.SUBSCRIBE, channel="news", user="Grace")

    asyncio.run(story())


def test_who_is_made_nobody_is_shut_out_as_well(tmp_path: Path) -> None:
    """The removal of a party sets the same fence, and nothing on air means nothing to change."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            idle = await server.add_channel("sport", port=5006)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="sport", device="tv")
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            assert await stage.report(1) == FenceOrder(epoch=3, window_ms=2_000, urgent=False)
            assert idle.epoch is None
        assert rows(tmp_path, ENDED) == [("tv", "party-removed", 3), ("tv", "party-removed", 1)]
        assert rows(tmp_path, OVER) == [("tv", "party-removed")]
        assert rows(tmp_path, AUDIT) == [
            ("subscriber-remove", "news tv"),
            ("subscriber-remove", "sport tv"),
            ("registry-remove", "device tv"),
        ]

    asyncio.run(story())


def test_a_removal_that_is_sent_twice_sets_one_fence(tmp_path: Path) -> None:
    """The same request again gets the same answer; one that comes back to the list has its keys again."""

    async def story() -> None:
        async with running(tmp_path) as server:
            stage = await Stage.at(server)
            operator = server.operator
            await operator.fetch_nonce()
            token = operator.token(operations.SUBSCRIBER_REMOVE, channel="news", device="tv", now=True)
            both = [await operator.post(operations.SUBSCRIBER_REMOVE, token) for _ in range(2)]
            assert both[0].answer == both[1].answer
            assert rows(tmp_path, FENCES) == [(3, 1, 0)]
            await operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            assert await stage.granted(stage.tv) == [1, 2]
        async with running(tmp_path, server.operator.credential) as server:
            stage.sender = server.caller(stage.sender.credential)
            stage.server = server
            assert await stage.report(1) == FenceOrder(epoch=3, window_ms=2_000, urgent=True)

    asyncio.run(story())
