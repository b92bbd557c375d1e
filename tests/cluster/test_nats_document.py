"""The configuration in docs/operating/bus.md, as it stands there: three servers, TLS, and who may do what."""

import asyncio
import dataclasses
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.buses import RANDOM, connected, everything, next_batch, persist, until_empty
from lab.nats import LOOPBACK, NatsCluster, Place, loopback_places
from sealcast.cluster.natsbus import NatsBus, open_nats_bus
from sealcast.cluster.natslink import NatsSettings
from sealcast.core.errors import UnreachableError, UsageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating" / "bus.md"
REFUSED = re.compile("permissions violation", re.IGNORECASE)
ENTRIES = [("party.1", b"1"), ("beat.1", b"b")]


def _blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def _certificates(folder: Path) -> None:
    """Run the page's commands, the second for each host; all have the same address here."""
    (commands,) = _blocks("sh")
    authority, host = (f"openssl req {each}" for each in commands.split("openssl req ")[1:])
    hosts = [host.replace("keys-1", f"keys-{number}") for number in (1, 2, 3)]
    for command in (authority, *hosts):
        subprocess.run(
            ["sh", "-ec", command.replace("10.0.0.1", LOOPBACK)], cwd=folder, check=True, capture_output=True
        )


def _configuration(folder: Path, place: Place, places: list[Place]) -> str:
    """Return the page's configuration with what is another's on this machine: names, addresses, folders."""
    server, _ = _blocks("conf")
    text = server.replace("keys-1", place.name)
    text = text.replace('listen: "10.0.0.1:4222"', f'listen: "{place.host}:{place.port}"')
    text = text.replace('listen: "10.0.0.1:6222"', f'listen: "{place.host}:{place.routes_port}"')
    for number, each in enumerate(places, start=1):
        text = text.replace(f"10.0.0.{number}:6222", f"{each.host}:{each.routes_port}")
    text = text.replace("/etc/nats", str(folder)).replace("/var/lib/nats", str(folder / place.name / "data"))
    return text.replace("127.0.0.1:8222", f"{LOOPBACK}:-1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three servers as the page has them."""
    folder = tmp_path_factory.mktemp("bus")
    _certificates(folder)
    places = [
        dataclasses.replace(each, name=f"keys-{number}")
        for number, each in enumerate(loopback_places(3), start=1)
    ]
    running = NatsCluster(folder, places)
    for each in running.servers:
        (each.folder / "nats.conf").write_text(_configuration(folder, each.place, places))
        (each.folder / "users.conf").write_text(_blocks("conf")[1])
    try:
        running.start()
        yield running
    finally:
        running.stop()


async def _opened(cluster: NatsCluster, user: str, password: str, *, name: str = "") -> NatsBus:
    folder = cluster.servers[0].folder.parent
    login = folder / f"{user}.login"
    login.unlink(missing_ok=True)
    login.touch(mode=0o600)
    login.write_text(f"{user}:{password}\n")
    servers = tuple(url.replace("nats://", "tls://") for url in cluster.urls)
    settings = NatsSettings(
        servers=servers,
        name=name or user,
        credentials=login,
        ca=folder / "bus-ca.pem",
        is_master=user == "master",
    )
    # Under another's name it never is.
    return await (open_nats_bus(settings, RANDOM) if name else connected(settings))


def test_a_master_and_a_replica_have_all_they_need(cluster: NatsCluster) -> None:
    """Each does its part of everything that the port has, under its own user."""

    async def story() -> None:
        master = await _opened(cluster, "master", "change-1")
        replica = await _opened(cluster, "keys-3", "change-3")
        last = await persist(lambda: master.publish(ENTRIES, 0), UnreachableError)
        # An own publication that was not heard of is found by reading it.
        assert await master.publish(ENTRIES[:1], 0) == last + 1 == await master.last_sequence()
        assert await everything(replica) == dict(ENTRIES)
        await replica.submit("keys-3", "j:1", b"granted")
        batch = await next_batch(master.journal())
        assert (batch.replica, batch.data) == ("keys-3", b"granted")
        await batch.done()
        await until_empty(master)
        await asyncio.gather(master.close(), replica.close())

    asyncio.run(story())


def test_a_replica_may_do_no_more(cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It publishes no entry, writes no other's journal and reads none, removes no stream, hears no other."""
    monkeypatch.setattr("sealcast.cluster.natspublish.PUBLISH_S", 0.5)
    monkeypatch.setattr("sealcast.cluster.natsstreams.API_S", 0.5)

    async def story() -> None:
        replica = await _opened(cluster, "keys-3", "change-3")
        for attempt in (
            lambda: replica.publish(ENTRIES, 0),
            lambda: replica.submit("keys-2", "j:1", b"x"),
            replica.journal_batches,
        ):
            with pytest.raises(UnreachableError, match=REFUSED):
                await attempt()
        link = await replica._connection.link()
        for subject in (
            "$JS.API.STREAM.DELETE.sealcast-entries",
            "$JS.API.STREAM.PURGE.sealcast-journal",
            "$JS.API.CONSUMER.MSG.NEXT.sealcast-journal.master",
        ):
            with pytest.raises(UnreachableError, match=REFUSED):
                await link.request(subject, b"{}", timeout_s=0.3)
        await replica.close()

    asyncio.run(story())


def test_another_name_hears_nothing(cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user takes answers under its own name only, so none can listen to another's."""
    monkeypatch.setattr("sealcast.cluster.natsstreams.API_S", 0.3)

    async def story() -> None:
        replica = await _opened(cluster, "keys-3", "change-3", name="master")
        with pytest.raises(UnreachableError, match=REFUSED):
            await replica.last_sequence()
        await replica.close()

    asyncio.run(story())


def test_who_has_no_leave_is_told(cluster: NatsCluster) -> None:
    """A wrong password is one line at the start."""
    with pytest.raises(UsageError, match="check the credentials file"):
        asyncio.run(_opened(cluster, "keys-3", "wrong"))
