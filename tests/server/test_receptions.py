"""Shows the reception manager inside the key server: from join to end, and the list."""

import asyncio
from pathlib import Path
from typing import Any

from sealcast.messages import operations
from sealcast.messages.subscribing import ReceptionRow
from server.running import Caller, Running, running
from server.test_request_key import on_air, subscriber


async def receptions(server: Running, **wanted: Any) -> list[ReceptionRow]:
    """Return what the operator is shown."""
    answer = await server.operator.must(operations.RECEPTION_LIST, **wanted)
    rows: list[ReceptionRow] = answer.receptions
    return rows


async def viewer(server: Running, name: str = "tv") -> Caller:
    """Return a subscribed device that has asked for keys."""
    device = await subscriber(server, name)
    grant = await device.must(operations.KEYS, channel="news")
    assert grant.heartbeat_ms == 30_000
    return device


def test_reception_from_key_request_to_stop(tmp_path: Path) -> None:
    """A key request begins it, a heartbeat tells of it, a stop ends it and is acknowledged with its times."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, number, keys, _ = await on_air(server)
            device = await viewer(server)
            (row,) = await receptions(server)
            assert (row.channel, row.device, row.first_epoch, row.last_epoch) == ("news", "tv", 1, 2)
            assert (row.until, row.reason, row.packets) == (None, None, 0)
            beat = await device.must(
                operations.HEARTBEAT, channel="news", key_id=keys[0].key_id, packets=1_234
            )
            assert beat.every_ms == 30_000
            assert [each.packets for each in await receptions(server, channel="news")] == [1_234]
            stopped = await device.must(
                operations.STOP, channel=str(number), packets=2_000, last_index=70_000
            )
            assert (stopped.number, stopped.channel, stopped.by) == (row.number, "news", server.url)
            assert stopped.since == row.since <= stopped.until
            assert await receptions(server) == []
            (over,) = await receptions(server, history=True, device="tv")
            assert (over.number, over.reason, over.packets) == (row.number, "stopped", 2_000)
            assert over.until == stopped.until

    asyncio.run(story())


def test_stop_twice_and_late_heartbeat(tmp_path: Path) -> None:
    """A second stop names the same reception, a heartbeat under way begins none, a key request does."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await viewer(server)
            first = await device.must(operations.STOP, channel="news")
            again = await device.must(operations.STOP, channel="news")
            assert (again.number, again.until) == (first.number, first.until)
            await device.must(operations.HEARTBEAT, channel="news")
            assert await receptions(server) == []
            await device.must(operations.KEYS, channel="news")
            (row,) = await receptions(server)
            assert row.number > first.number

    asyncio.run(story())


def test_nobody_else_is_recorded(tmp_path: Path) -> None:
    """A device that is not subscribed is refused and leaves no reception; its stop says so."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await server.register("tv", "device")
            assert (await device.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            assert (await device.ask(operations.HEARTBEAT, channel="news")).problem == "not-subscribed"
            stopped = await device.must(operations.STOP, channel="news")
            assert (stopped.number, stopped.since) == (None, None)
            assert await receptions(server, history=True) == []
            for wrong in ({"packets": -1}, {"packets": 2**63}, {"key_id": "zz"}, {"key_id": "0" * 16}):
                reply = await device.ask(operations.HEARTBEAT, channel="news", **wrong)
                assert reply.problem == "bad-request"
            assert (await device.ask(operations.RECEPTION_LIST)).problem == "wrong-role"
            reply = await server.operator.ask(operations.RECEPTION_LIST, channel="olds")
            assert reply.problem == "unknown-channel"

    asyncio.run(story())


def test_removals_end_receptions(tmp_path: Path) -> None:
    """A channel that is removed and a party that is removed take their receptions along, with the reason."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            await viewer(server, "one")
            await viewer(server, "two")
            await server.operator.must(operations.REGISTRY_REMOVE, id="one")
            assert [row.device for row in await receptions(server)] == ["two"]
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            assert await receptions(server) == []
            history = await receptions(server, history=True, channel="news")
            assert [(row.device, row.reason) for row in history] == [
                ("two", "channel-removed"), ("one", "party-removed"),
            ]  # fmt: skip

    asyncio.run(story())


def test_receptions_outlive_a_restart(tmp_path: Path) -> None:
    """After an orderly restart they live on, with what the last heartbeat said."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await viewer(server)
            await device.must(operations.HEARTBEAT, channel="news", packets=77)
            (before,) = await receptions(server)
        async with running(tmp_path, server.operator.credential) as server:
            (after,) = await receptions(server)
            assert (after.number, after.since, after.packets) == (before.number, before.since, 77)
            again = server.caller(device.credential)
            await again.must(operations.HEARTBEAT, channel="news", packets=78)
            (row,) = await receptions(server)
            assert (row.number, row.packets) == (before.number, 78)

    asyncio.run(story())
