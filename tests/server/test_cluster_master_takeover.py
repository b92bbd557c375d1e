"""Shows two real masters over PostgreSQL and NATS: one stops past its lease, its sender follows the other."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cli.terminal import READY_LINE, Terminal, free_port
from faults.nursery import WAIT_S, Child, Forks, Nursery
from faults.site import Site
from lab.nats import NatsServer, nats_server
from sealcast.cluster.natsbus import open_nats_bus
from sealcast.cluster.natslink import NatsSettings
from sealcast.cluster.sealing import EntrySealer
from sealcast.server.cluster.secrets import load_cluster_secrets
from sealcast.server.state import load_server_state
from sealcast.transport.system import SystemRandom
from storage.places import Places

LEASE_S = 4
"""As short as a busy machine allows: a master that gets no turn for so long is replaced, and rightly."""

LIFETIME = "3s"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Return the process that all others are forked from."""
    made = Forks()
    yield made
    made.close()


@dataclass
class Two:
    """Two masters, each by its name: `one` holds the lease first."""

    site: Site
    database: str
    bus: NatsServer
    ports: dict[str, int]
    environment: dict[str, str]

    def start(self, name: str) -> Child:
        """Start a master and return once it listens."""
        state = {"one": "keyserver", "two": "two"}[name]
        options = ("--role", "master", "--bus", self.bus.url, "--db", self.database, "--events", "off")
        place = ("--listen", f"127.0.0.1:{self.ports[name]}", "--state", state)
        child = self.site.nursery.start("serve", "keyserver", *options, *place, **self.environment)
        child.wait_for_line(READY_LINE)
        return child

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Read the database."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(text.encode()).fetchall()

    @property
    def term(self) -> int:
        """The term that stands in the database."""
        return int(str(self.query("SELECT term FROM cluster_lease")[0][0]))

    @property
    def on_air(self) -> int:
        """The highest epoch that was on air."""
        return int(str(self.query("SELECT coalesce(max(epoch), 0) FROM reports")[0][0]))

    def terms_on_the_bus(self) -> list[int]:
        """Return the terms of the entries that stand on the bus, in the order of publication."""
        secrets = load_cluster_secrets(load_server_state(self.site.folder / "keyserver"), "master")
        sealer = EntrySealer(secrets.cluster_key, secrets.publisher)

        async def read() -> list[int]:
            bus = await open_nats_bus(NatsSettings((self.bus.url,), "looker"), SystemRandom())
            terms = []
            try:
                async for entry in bus.watch():
                    terms.append(sealer.open(entry.data).term)
                    if entry.is_last:
                        return terms
            finally:
                await bus.close()
            return terms

        return asyncio.run(read())


@pytest.fixture
def two(tmp_path: Path, forks: Forks, postgres_places: Places) -> Iterator[Two]:
    """Give an operator with the state of two masters, neither of which runs."""
    terminal = Terminal(tmp_path, SEALCAST_LOGGING_LEVEL="info", SEALCAST_LOGGING_FORMAT="json")
    with nats_server() as bus, Nursery(terminal, forks) as nursery:
        ports = {name: free_port() for name in ("one", "two")}
        urls = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
        nursery.good("init", "--dir", ".", "--operator", "Test TV", "--listen", f"127.0.0.1:{ports['one']}")
        place = ("--host", "127.0.0.1", "--url", urls["two"])
        nursery.good("cluster", "add", "two", "--role", "master", "--name", "two", *place)
        environment = {
            "SEALCAST_KEYSERVER_URLS": ",".join(urls.values()),
            "SEALCAST_CLUSTER_LEASE_S": str(LEASE_S),
        }
        database = postgres_places.address(tmp_path, is_upgraded=False)
        yield Two(Site(tmp_path, nursery), database, bus, ports, environment)


def until(what: Callable[[], bool], said: str) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends, said
        time.sleep(0.05)


def test_a_master_that_stood_still(two: Two) -> None:
    """Stopped past its lease it is replaced; going on it is refused, and its sender stays away."""
    one = two.start("one")
    other = two.start("two")
    channel = two.site.add_channel("news", "--lifetime", LIFETIME)
    sender = two.site.send("news")
    sender.wait_for("on air")
    until(lambda: two.on_air >= 2, "no epoch after the first")
    one.send(signal.SIGSTOP)
    other.wait_for("this server is master", term=2)
    before = two.on_air
    until(lambda: two.on_air >= before + 2, "the sender does not follow the new master")
    one.send(signal.SIGCONT)
    one.wait_for("this server is not master any more")
    # Whoever asks the old master is answered by the new one.
    listed = two.site.nursery.good("channel", "list")
    assert channel.name in listed
    until(lambda: two.on_air >= before + 3, "the sender stands still")
    terms = two.terms_on_the_bus()
    assert min(terms) >= 2
    assert terms == sorted(terms)
    sender.stop()
    epochs = two.query("SELECT epoch FROM epochs ORDER BY epoch")
    assert len(set(epochs)) == len(epochs)
    keys = two.query("SELECT count(*) FROM epochs WHERE on_air_at_ms IS NOT NULL")
    assert int(str(keys[0][0])) >= before + 3


def test_an_orderly_end(two: Two) -> None:
    """A master that is told to end gives up its lease at once, and the other goes on with its sender."""
    one = two.start("one")
    other = two.start("two")
    two.site.add_channel("news", "--lifetime", LIFETIME)
    sender = two.site.send("news")
    sender.wait_for("on air")
    began = time.monotonic()
    one.send(signal.SIGTERM)
    other.wait_for("this server is master", term=2)
    assert one.end() == 0
    assert time.monotonic() - began < WAIT_S / 2
    before = two.on_air
    until(lambda: two.on_air >= before + 1, "the sender does not follow the new master")
    sender.stop()
