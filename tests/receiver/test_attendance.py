"""Shows what a receiver says to a real key server beside key requests, and what it makes of pushed events."""

import asyncio
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from client.small_server import Authority, SmallServer
from receiver.watcher import RANDOM, until, watching
from sealcast.client import KeyServerClient, limits
from sealcast.device.vault import Credential
from sealcast.messages import jwk, operations
from sealcast.messages.subscribing import ReceptionRow
from sealcast.receiver.stopping import describe_end, stop_reception
from server.listening import listening
from server.running import Running, running
from server.test_request_key import on_air, subscriber

HEARTBEAT_MS = 250


async def receptions(server: Running, *, history: bool = False) -> list[ReceptionRow]:
    """Return what the operator is shown."""
    answer = await server.operator.must(operations.RECEPTION_LIST, history=history)
    rows: list[ReceptionRow] = answer.receptions
    return rows


def test_from_the_first_grant_to_the_stop(tmp_path: Path) -> None:
    """Heartbeats keep a reception alive beyond its time; the stop ends it, acknowledged."""

    async def story() -> None:
        async with running(tmp_path, heartbeat_ms=HEARTBEAT_MS) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            async with watching(device.credential, server.url) as watcher:
                assert await watcher.attendance.leave([]) is None, "never permitted, nothing to say"
            async with watching(device.credential, server.url) as watcher:
                assert await watcher.ask()
                (row,) = await receptions(server)
                await asyncio.sleep(6 * HEARTBEAT_MS / 1000)
                assert [each.number for each in await receptions(server)] == [row.number]
                watcher.session.stats.opened = 5
                answered = watcher.attendance.answered
                await until(lambda: watcher.attendance.answered >= answered + 2)
                assert [each.packets for each in await receptions(server)] == [5]
                end = await watcher.attendance.leave([])
                assert end is not None
                assert (end.acknowledged, end.number, end.since, end.by) == (
                    True, row.number, row.since, server.url,
                )  # fmt: skip
                assert f"reception {row.number} from {row.since} to " in describe_end(end)
                assert watcher.refused == []
                await asyncio.sleep(1.5 * HEARTBEAT_MS / 1000)
            assert await receptions(server) == []
            (over,) = await receptions(server, history=True)
            assert (over.reason, over.until, over.packets) == ("stopped", end.until, 5)

    asyncio.run(story())


def test_a_no_to_a_heartbeat(tmp_path: Path) -> None:
    """Taken off the list, a receiver is refused by name, says so once, and tries on until it is back."""

    async def story() -> None:
        async with running(tmp_path, heartbeat_ms=HEARTBEAT_MS) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            async with watching(device.credential, server.url) as watcher:
                assert await watcher.ask()
                held = watcher.session.state(watcher.now)
                await until(lambda: watcher.attendance.answered)
                with structlog.testing.capture_logs() as logs:
                    await server.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
                    await until(lambda: len(watcher.refused) == 3)
                assert set(watcher.refused) == {"not-subscribed"}
                assert [log["type"] for log in logs if log["log_level"] == "warning"] == ["not-subscribed"]
                assert watcher.session.state(watcher.now).key_id == held.key_id, "its key still opens"
                answered = watcher.attendance.answered
                await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
                refused = len(watcher.refused)
                await until(lambda: watcher.attendance.answered > answered)
                assert len(watcher.refused) <= refused + 1
                assert await receptions(server)

    asyncio.run(story())


def test_a_key_server_that_is_away_or_mute(tmp_path: Path) -> None:
    """The end of a run never fails for want of an acknowledgement, waits its time at most, and says why."""

    async def story() -> None:
        authority = Authority("operator CA")
        server_key = jwk.new_signing_pair(RANDOM)
        credential = Credential(
            role="device",
            id="tv",
            operator="op",
            signing=jwk.new_oct_key(RANDOM),
            kek=jwk.new_oct_key(RANDOM),
            ca_pem=authority.pem,
            servers=["https://127.0.0.1:9"],
            server_key=server_key.public(),
            server_kek=jwk.new_sealing_pair(RANDOM).public(),
        )

        async def mute(_: web.Request) -> None:
            await asyncio.sleep(1)

        async with SmallServer(authority.server_context(tmp_path), server_key, credential) as server:
            server.before = mute
            async with KeyServerClient(credential, RANDOM) as client:
                away = await stop_reception(client, "7")
                assert not away.acknowledged
                assert "cannot connect to https://127.0.0.1:9" in (away.reason or "")
                client.use_servers([server.url])
                late = await stop_reception(client, "7", within_s=0.3)
                assert describe_end(late) == f"stop not acknowledged ({server.url} does not answer in time)"

    asyncio.run(story())


def test_an_event_of_the_key_server_leads_to_one_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published key reaches the receiver as an event: it draws its instant in the window, and asks once."""
    for name in ("STREAM_GATHER_S", "STREAM_SPREAD_S"):
        monkeypatch.setattr(limits, name, 0.01)

    async def story() -> None:
        async with (
            listening(tmp_path) as place,
            watching(place.device.credential, place.server.url) as watcher,
        ):
            assert await watcher.ask()
            before_ns = watcher.session.next_timeout()
            (line,) = watcher.client.events._lines
            await until(lambda: line.is_open)
            await place.publish(1)
            await until(lambda: watcher.woken)
            assert watcher.session.notices.taken == 1
            assert watcher.session.next_timeout() == before_ns, "the instant drawn for the window stands"
            await watcher.attendance.leave([])
            assert not watcher.client.events._lines

    asyncio.run(story())
