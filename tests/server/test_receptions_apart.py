"""Shows reception managers that stand apart: asked before a key leaves, told until they acknowledge."""

import asyncio
import shutil
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sealcast.core.errors import UsageError
from sealcast.device.files import write_private
from sealcast.messages import operations
from sealcast.messages.encoding import encode
from sealcast.messages.subscribing import EndRow, SeenRow
from sealcast.server.managers import Managers
from sealcast.server.serve_reception import serve_reception
from sealcast.server.state import load_server_state
from sealcast.server.state_reception import create_reception_state, peer_keys
from sealcast.transport.system import SystemClock
from server.apart import Site, make_site
from server.running import RANDOM, client, make_state, running
from server.test_receptions import receptions
from server.test_request_key import grants, on_air, subscriber

PATIENCE_S = 15


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the relay does within a second or two."""
    for _ in range(10 * PATIENCE_S):
        if await condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not come about")


def outbox(site: Site) -> list[tuple[str, bool]]:
    """Return what the key server has to tell, as (reason, whether it was acknowledged)."""
    with closing(sqlite3.connect(site.keys / "keyserver.sqlite")) as database:
        rows = database.execute("SELECT reason, done_at_ms IS NOT NULL FROM reception_ends ORDER BY number")
        return [(str(reason), bool(done)) for reason, done in rows]


def test_the_manager_records_and_acknowledges(tmp_path: Path) -> None:
    """Permit, heartbeat, stop and list go through it; the key server's own table stays empty."""
    site = make_site(tmp_path)

    async def story() -> None:
        async with site.manager(), running(site.keys, site.credential, reception=site.urls) as server:
            _, number, keys, _ = await on_air(server)
            device = await subscriber(server, "tv")
            grant = await device.must(operations.KEYS, channel="news")
            assert [key.state for key in grant.keys] == ["current", "next"]
            (row,) = await receptions(server, channel="news")
            assert (row.channel, row.device, row.first_epoch, row.last_epoch) == ("news", "tv", 1, 2)
            beat = {"channel": "news", "key_id": keys[0].key_id, "packets": 99}
            await device.must(operations.HEARTBEAT, **beat)

            async def is_relayed() -> bool:
                return [each.packets for each in await receptions(server)] == [99]

            await until(is_relayed)
            stopped = await device.must(operations.STOP, channel=str(number), packets=100)
            assert (stopped.number, stopped.since, stopped.by) == (row.number, row.since, site.urls[0])
            assert await receptions(server) == []
            assert site.recorded() == [("tv", "stopped")]
            with closing(sqlite3.connect(site.keys / "keyserver.sqlite")) as database:
                assert database.execute("SELECT count(*) FROM receptions").fetchone() == (0,)
            async with client(site.credential, site.urls[0]) as operator:
                (over,) = (await operator.must(operations.RECEPTION_LIST, history=True)).receptions
            assert (over.packets, over.reason) == (100, "stopped")

    asyncio.run(story())


def test_without_a_manager_no_key_leaves(tmp_path: Path) -> None:
    """While none answers, key request and stop get 503; what ended meanwhile is told when one is back."""
    site = make_site(tmp_path)

    async def story() -> None:
        async with running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            one, two = await subscriber(server, "one"), await subscriber(server, "two")
            for operation in (operations.KEYS, operations.STOP):
                reply = await one.ask(operation, channel="news")
                assert (reply.status, reply.problem) == (503, "reception-unavailable")
            assert grants(site.keys) == []
            async with site.manager():
                for device in (one, two):
                    await device.must(operations.KEYS, channel="news")
            await server.operator.must(operations.REGISTRY_REMOVE, id="one")
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            assert [reason for reason, done in outbox(site) if not done] == [
                "party-removed",
                "channel-removed",
            ]
            async with site.manager():

                async def is_told() -> bool:
                    return all(done for _, done in outbox(site))

                await until(is_told)
            assert site.recorded() == [("one", "party-removed"), ("two", "channel-removed")]

    asyncio.run(story())


def test_failover_over_one_database(tmp_path: Path) -> None:
    """Two managers over one database: when the first goes, the second goes on with the same reception."""
    site = make_site(tmp_path, 2, shared=True)

    async def story() -> None:
        async with site.manager(1), running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            async with site.manager(0):
                await device.must(operations.KEYS, channel="news")
                (before,) = await receptions(server)
            await device.must(operations.KEYS, channel="news")
            (after,) = await receptions(server)
            assert after.number == before.number
            stopped = await device.must(operations.STOP, channel="news")
            assert (stopped.number, stopped.by) == (before.number, site.urls[1])
            assert site.recorded() == [("tv", "stopped")]

    asyncio.run(story())


def test_removed_between_permit_and_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is taken off the list after the permit gets no key, and its reception is ended."""
    site = make_site(tmp_path)
    asking = Managers.ask

    async def story() -> None:
        async with site.manager(), running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            device = await subscriber(server, "tv")

            async def ask(self: Managers, operation: operations.Operation, *more: Any, **fields: Any) -> Any:
                answer = await asking(self, operation, *more, **fields)
                if operation is operations.RECEPTION_PERMIT:
                    who = {"channel": "news", "device": "tv"}
                    await server.operator.must(operations.SUBSCRIBER_REMOVE, **who)
                return answer

            monkeypatch.setattr(Managers, "ask", ask)
            assert (await device.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            assert grants(site.keys) == []

            async def is_ended() -> bool:
                return site.recorded() == [("tv", "removed")]

            await until(is_ended)

    asyncio.run(story())


def test_removed_while_a_repeat_is_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated key request whose permit reaches the manager behind the removal leaves no reception."""
    site = make_site(tmp_path)
    asking = Managers.ask

    async def story() -> None:
        async with site.manager(), running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            await device.must(operations.KEYS, channel="news", jti="one")

            async def is_ended() -> bool:
                return {reason for _, reason in site.recorded()} == {"removed"}

            async def ask(self: Managers, operation: operations.Operation, *more: Any, **fields: Any) -> Any:
                if operation is operations.RECEPTION_PERMIT:
                    who = {"channel": "news", "device": "tv"}
                    await server.operator.must(operations.SUBSCRIBER_REMOVE, **who)
                    await until(is_ended)
                return await asking(self, operation, *more, **fields)

            monkeypatch.setattr(Managers, "ask", ask)
            again = await device.ask(operations.KEYS, channel="news", jti="one")
            assert again.problem == "not-subscribed"
            await until(is_ended)
            assert len(site.recorded()) == 2

    asyncio.run(story())


def test_two_key_servers_ask_one_manager(tmp_path: Path) -> None:
    """What devices of two key servers receive stands in one record; a stop goes through either."""
    site = make_site(tmp_path)
    shutil.copytree(site.keys, tmp_path / "again")

    async def story() -> None:
        more = {"reception": site.urls}
        async with (
            site.manager(),
            running(site.keys, site.credential, **more) as one,
            running(tmp_path / "again", site.credential, **more) as two,
        ):
            for server, name in ((one, "a"), (two, "b")):
                await on_air(server)
                await (await subscriber(server, name)).must(operations.KEYS, channel="news")
            assert [row.device for row in await receptions(one)] == ["b", "a"]
            assert await receptions(one) == await receptions(two)
            device = await subscriber(two, "a")
            assert (await device.must(operations.STOP, channel="news")).number == 1
            assert [row.device for row in await receptions(one)] == ["b"]

    asyncio.run(story())


def test_unknown_key_server_is_refused(tmp_path: Path) -> None:
    """A manager answers the key servers in its files alone; an operator may look, and permit nothing."""
    site = make_site(tmp_path)
    stranger = make_state(tmp_path / "stranger", 1)

    async def story() -> None:
        async with site.manager():
            async with running(tmp_path / "stranger", stranger, reception=site.urls) as server:
                await on_air(server)
                device = await subscriber(server, "tv")
                assert (await device.ask(operations.KEYS, channel="news")).problem == "reception-unavailable"
            async with client(site.credential, site.urls[0]) as operator:
                fields = {"device": "tv", "channel": 1, "channel_name": "news", "epochs": []}
                reply = await operator.ask(operations.RECEPTION_PERMIT, **fields)
                assert reply.problem == "wrong-role"

    asyncio.run(story())
    assert site.recorded() == []


def test_a_fault_between_servers_is_no_devices_fault(tmp_path: Path) -> None:
    """A manager that takes the key server for somebody else does not have devices told a no for good."""
    site = make_site(tmp_path)
    make_state(tmp_path / "stranger", 1)
    (own,) = (site.managers[0] / "peers").iterdir()
    own.replace(site.managers[0] / "operators" / own.name)
    peer = encode(peer_keys(load_server_state(tmp_path / "stranger")))
    write_private(site.managers[0] / "peers" / "stranger.json", peer)

    async def story() -> None:
        async with site.manager(), running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            reply = await device.ask(operations.KEYS, channel="news")
            assert (reply.status, reply.problem) == (503, "reception-unavailable")
            assert "is for the role server" in reply.detail

    asyncio.run(story())


def test_ends_that_a_manager_does_not_understand(tmp_path: Path) -> None:
    """They wait, and so do key requests; nobody's request is called a bad one for it."""
    site = make_site(tmp_path)

    async def story() -> None:
        async with site.manager(), running(site.keys, site.credential, reception=site.urls) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            with closing(sqlite3.connect(site.keys / "keyserver.sqlite")) as database, database:
                row = (
                    "INSERT INTO reception_ends (device, channel, reason, at_ms) VALUES (?, -1, 'removed', 0)"
                )
                database.execute(row, ["tv"])
            await server.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            reply = await device.ask(operations.KEYS, channel="news")
            assert (reply.status, reply.problem) == (503, "reception-unavailable")

    asyncio.run(story())


def test_manager_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    """A key server that asks nonsense is told so, and nothing is recorded."""
    site = make_site(tmp_path)
    state = load_server_state(site.keys)
    credential = msgspec.structs.replace(
        site.credential, role="replica", id=state.peer_id, signing=state.signing, kek=state.kek
    )

    async def story() -> None:
        async with site.manager(), client(credential, site.urls[0]) as server:
            good = {"device": "tv", "channel": 1, "channel_name": "news", "epochs": [1]}
            for wrong in ({"channel": -1}, {"device": ""}, {"device": "x" * 129}, {"epochs": [2**32]}):
                reply = await server.ask(operations.RECEPTION_PERMIT, **{**good, **wrong})
                assert (reply.status, reply.problem) == (400, "bad-request")
            for row in (
                SeenRow(device="tv", channel=1, age_ms=-1),
                SeenRow(device="tv", channel=1, age_ms=0, packets=2**63),
                SeenRow(device="tv", channel=2**40, age_ms=0),
            ):
                assert (await server.ask(operations.RECEPTION_SEEN, seen=[row])).problem == "bad-request"
            end = EndRow(device="tv", channel=1, reason="stopped", last_index=-1)
            assert (await server.ask(operations.RECEPTION_END, ends=[end])).problem == "bad-request"
            assert (await server.ask(operations.RECEPTION_LIST, channel="news")).problem == "bad-request"
            nothing = EndRow(device=None, channel=None, reason="removed")
            assert (await server.must(operations.RECEPTION_END, ends=[nothing])).receptions == []
            assert site.recorded() == []

    asyncio.run(story())


def test_states_are_not_mixed_up(tmp_path: Path) -> None:
    """A manager does not run over a key server's state, nor the other way round; operators do not mix."""
    site = make_site(tmp_path)

    settings = replace(site.settings(0), state_directory=site.keys)
    with pytest.raises(UsageError, match="serve keyserver"):
        asyncio.run(serve_reception(settings, clock=SystemClock()))

    async def wrong() -> None:
        async with running(site.managers[0], site.credential):
            pass

    with pytest.raises(UsageError, match="serve reception"):
        asyncio.run(wrong())
    make_state(tmp_path / "other", 1)
    with pytest.raises(UsageError, match="another operator's"):
        create_reception_state(
            tmp_path / "mixed",
            [site.keys, tmp_path / "other"],
            hosts=(),
            urls=("https://127.0.0.1:1",),
            random=RANDOM,
            wall_ns=SystemClock().wall_ns(),
        )
    assert not (tmp_path / "mixed").exists()
    (tmp_path / "half" / "peers").mkdir(parents=True)
    with pytest.raises(UsageError, match="peers exists and is never overwritten"):
        create_reception_state(
            tmp_path / "half",
            [site.keys],
            hosts=(),
            urls=("https://127.0.0.1:1",),
            random=RANDOM,
            wall_ns=SystemClock().wall_ns(),
        )
    assert [each.name for each in (tmp_path / "half").iterdir()] == ["peers"]


def test_a_mute_manager_is_asked_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ends to tell and a manager that never answers, key requests hear so together, not one by one."""
    monkeypatch.setattr("sealcast.server.managers.MANAGER_S_MAX", 0.3)
    site, asking = make_site(tmp_path), Managers.ask
    told: list[str] = []

    async def ask(self: Managers, operation: operations.Operation, *more: Any, **fields: Any) -> Any:
        told.append(operation.name)
        return await asking(self, operation, *more, **fields)

    monkeypatch.setattr(Managers, "ask", ask)

    async def story() -> None:
        with closing(socket.create_server(("127.0.0.1", site.ports[0]))):
            async with running(site.keys, site.credential, reception=site.urls) as server:
                await on_air(server)
                device = await subscriber(server, "tv")
                assert (await device.ask(operations.STOP, channel="news")).status == 503
                told.clear()
                replies = await asyncio.gather(
                    *(device.ask(operations.KEYS, channel="news") for _ in range(20))
                )
                assert {reply.problem for reply in replies} == {"reception-unavailable"}
                assert len(told) < 6
                assert (await device.ask(operations.STOP, channel="news")).status == 503
        assert len(outbox(site)) == 1

    asyncio.run(story())
