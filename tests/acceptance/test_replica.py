"""What a replica is for: keys while the master is away, and in the end every grant in its database."""

import contextlib
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station, eventually
from cli.terminal import READY_LINE, free_port
from lab.nats import nats_server

NAME = "keys-2"


class Cluster(Station):
    """A station whose key server is a master, with a replica and the bus between them."""

    def __init__(self, folder: Path, bus: str) -> None:
        super().__init__(folder, "239.255.77.9:5004", "--lifetime", "1500ms", viewers=2)
        self._place = f"127.0.0.1:{free_port()}"
        config = folder / "sealcast.toml"
        text = config.read_text()
        (first,) = re.findall(r'"(https://[^"]+)"', text)
        urls = f'urls = ["{first}", "https://{self._place}"]'
        text = re.sub(r"urls = .*", urls, text)
        config.write_text(f'{text}\n[cluster]\nbus = ["{bus}"]\n')
        address = ("--host", "127.0.0.1", "--url", f"https://{self._place}")
        self.terminal.good("cluster", "add", NAME, "--role", "replica", "--name", NAME, *address)

    @contextlib.contextmanager
    def master(self) -> Iterator["subprocess.Popen[str]"]:
        """Run the master."""
        with self._serving("--role", "master") as process:
            yield process

    @contextlib.contextmanager
    def replica(self) -> Iterator["subprocess.Popen[str]"]:
        """Run the replica."""
        with self._serving("--role", "replica", "--state", NAME, "--listen", self._place) as process:
            yield process

    @contextlib.contextmanager
    def _serving(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        log = self.folder / f"{arguments[1]}.log"
        with self.terminal.running(
            "serve", "keyserver", "--events", "off", *arguments, stderr=log
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(READY_LINE), log.read_text()
            yield process

    def grants(self, server: str) -> list[tuple[str, int]]:
        """Return the grants in a server's database as (device, epoch)."""
        with contextlib.closing(
            sqlite3.connect(self.folder / server / "keyserver.sqlite", timeout=10)
        ) as database:
            rows = database.execute("SELECT device, epoch FROM grants ORDER BY device, epoch")
            return [(str(device), int(epoch)) for device, epoch in rows]

    def knows(self, device: str) -> bool:
        """Return whether the replica was told of a subscribed device."""
        with contextlib.closing(
            sqlite3.connect(self.folder / NAME / "keyserver.sqlite", timeout=10)
        ) as database:
            query = "SELECT 1 FROM subscriptions WHERE device = ? AND removed_at_ms IS NULL"
            on_air = database.execute("SELECT 1 FROM reports").fetchall()
            return bool(on_air) and bool(database.execute(query, (device,)).fetchall())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Run the bus."""
    with nats_server() as bus:
        folder = tmp_path / "station"
        folder.mkdir()
        yield Cluster(folder, bus.url)


def test_keys_while_the_master_is_away(cluster: Cluster, card: Path) -> None:
    """The master killed, a receiver starts by a replica's keys; that killed too, no grant is lost."""
    with contextlib.ExitStack() as servers:
        master = servers.enter_context(cluster.master())
        replica = servers.enter_context(cluster.replica())
        cluster.set_up()
        with cluster.sender("--input", str(card), "--loop") as sender:
            sender.wait_for("on air")
            eventually(lambda: cluster.knows("tv-2"))
            master.send_signal(signal.SIGKILL)
            master.wait()
            with cluster.receiver("--output", "away.ts", viewer=2) as receiver:
                receiver.wait_for_a_key()
                by_replica = cluster.grants(NAME)
                assert {device for device, _ in by_replica} == {"tv-2"}
                assert [each for each in cluster.grants("keyserver") if each[0] == "tv-2"] == []
                replica.send_signal(signal.SIGKILL)
                replica.wait()
                servers.enter_context(cluster.master())
                again = servers.enter_context(cluster.replica())
                sender.wait_for("no longer extended")
                for _ in range(2):
                    sender.wait_for("on air")
                eventually(lambda: set(by_replica) <= set(cluster.grants("keyserver")))
                sender.process.terminate()
                sender.summary()
                got = receiver.summary()
        again.terminate()
        assert again.wait(10) == 0
    assert (got["lost"], got["refused"]) == (0, 0)
    assert got["key_changes"] >= 2
    assert set(cluster.grants(NAME)) <= set(cluster.grants("keyserver"))
