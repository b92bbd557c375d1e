"""Owns the site of a chaos run: a cluster with its bus and database, senders, and two hosts of receivers.

Every program has a host of its own on one bridge. State that a full disk is to hit stands on small disks.
"""

import contextlib
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from chaos import crowd, office, recorder
from chaos.judge import GrantRow
from chaos.land import Land, new_land
from chaos.plan import Layout
from chaos.records import Crowd, Order
from chaos.services import SEALCAST, Service, prints, says
from cli.terminal import READY_LINE
from faults.mounts import SmallDisk, small_disk
from integration.machines import Machine
from lab.nats import READY, NatsCluster, Place
from lab.postgres import Postgres
from sealcast.messages.channels import ChannelData

LAYOUT = Layout(
    masters=("master-1", "master-2"),
    replicas=("replica-1", "replica-2"),
    bus=("bus-1", "bus-2", "bus-3"),
    database="database",
    studios=("studio-1", "studio-2"),
    homes=("home-1", "home-2"),
)
EAR = "ear"
RECORDING = "air.recording"
DATABASE = "sealcast"
CHANNELS = {"news": "239.9.0.1:5004", "film": "239.9.0.2:5004"}
KEYS = {"news": "sender", "film": "keyserver"}
CHANGES: dict[str, Any] = {"lifetime_ms": 10_000, "publish_at": "8s", "prefetch_at": "6s"}
"""Short lives, so that a minute has many switches; the window leaves room for a server that is mute."""

RATE = "100k"
"""Ten packets a second: enough to see each gap, and two cores carry two hundred receivers."""

OURS = ("env", f"PYTHONPATH={':'.join(sys.path)}", sys.executable)
"""Programs of the laboratory; what is tested is started as its users do."""

FILM_NUMBERS = 1_000_000
SETTING_UP_S = 60.0
ENDING_S = 20.0
DISK, DISK_SIZE, STATE = "disk", "48m", "keyserver"
PORT = 8443
CONFIG = """
[keyserver]
listen = "0.0.0.0:8443"
state = "disk/keyserver"
events = "off"
urls = [{urls}]
{database}

[cluster]
role = "{role}"
bus = [{bus}]
lease_s = 4
"""


@dataclass(slots=True)
class Site:
    """A site that was built; `start` brings it on the air."""

    folder: Path
    land: Land
    machines: dict[str, Machine]
    services: dict[str, Service]
    bus: NatsCluster
    database: Postgres
    database_url: str
    disks: dict[str, SmallDisk]
    repairing: threading.Thread | None = None

    @property
    def office(self) -> Machine:
        """Where the operator sits."""
        return self.machines[LAYOUT.office]

    def start(self, name: str) -> None:
        """Start the program of a host, and return before it does its work."""
        if name in LAYOUT.bus:
            self.bus.named(name).begin()
        elif name == LAYOUT.database:
            # It answers once it has repaired itself, for which other faults do not wait.
            self.repairing = threading.Thread(target=self.database.start)
            self.repairing.start()
        else:
            self.services[name].start()

    def kill(self, name: str) -> None:
        """Kill the program of a host with -9."""
        if name in LAYOUT.bus:
            self.bus.named(name).kill()
        elif name == LAYOUT.database:
            self.database.kill()
        else:
            self.services[name].kill()

    def is_running(self, name: str) -> bool:
        """Whether the program of a host runs."""
        if name == LAYOUT.database:
            return True
        return self.bus.named(name).is_running if name in LAYOUT.bus else self.services[name].is_running

    def is_ready(self, name: str) -> bool:
        """Whether the program of a host does its work; the database does once it has repaired itself."""
        if name in LAYOUT.bus:
            return self.bus.named(name).has_logged(READY)
        if name == LAYOUT.database:
            return self.repairing is None or not self.repairing.is_alive()
        return self.services[name].is_up

    def master(self) -> str:
        """Return which master holds the lease, by the database; raises OperationalError while it is down."""
        rows = self.query("SELECT holder FROM cluster_lease")
        return str(rows[0][0]) if rows else LAYOUT.masters[0]

    def grants(self) -> list[GrantRow]:
        """Return all grants that the database has."""
        rows = self.query("SELECT device, channel, epoch FROM grants")
        return [(str(device), int(str(channel)), int(str(epoch))) for device, channel, epoch in rows]

    def fence_of(self, device: str) -> int | None:
        """Return the first epoch that a device cannot have; None if it is on its list, or nobody knows."""
        with contextlib.suppress(psycopg.OperationalError):
            rows = self.query("SELECT device, fence_epoch FROM subscriptions WHERE removed_at_ms IS NOT NULL")
            return {name: int(str(epoch)) for name, epoch in rows if epoch is not None}.get(device)
        return None

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Read the common database by its socket, which no cut is between."""
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            return connection.execute(text.encode()).fetchall()

    def close(self) -> None:
        """End what the land does not end by itself, and keep what was logged: the land takes it along."""
        for name, service in self.services.items():
            (self.folder / f"{name}.log").write_text(service.log())
        self.bus.stop()
        if self.repairing is not None:
            self.repairing.join()
        self.database.kill()


@contextlib.contextmanager
def new_site(folder: Path, receivers: int) -> Iterator[Site]:
    """Give a site whose key servers run, with all parties registered; needs root, takes 20 s."""
    with contextlib.ExitStack() as stack:
        land = stack.enter_context(new_land(*LAYOUT.everybody(), EAR))
        machines = {name: Machine(host, folder / name) for name, host in land.hosts.items()}
        disks = {
            name: stack.enter_context(small_disk(machines[name].folder / DISK, DISK_SIZE))
            for name in LAYOUT.replicas
        }
        for name in LAYOUT.masters:
            (machines[name].folder / DISK).mkdir(mode=0o700)
        places = [Place(name, land.address(name), 4222, 6222, _inside(land, name)) for name in LAYOUT.bus]
        bus = NatsCluster(folder, places)
        # PostgreSQL is not root, and may not look into folders of tests.
        database_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealcast-pg-")))
        host = land.address(LAYOUT.database)
        # It is started from a thread, with whose end it would die if it were told to die with its parent.
        inside = ("ip", "netns", "exec", land.hosts[LAYOUT.database].namespace)
        database = Postgres(database_folder, host=host, prefix=inside)
        with (database_folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.78.0.0/24 trust\n")
        site = Site(folder, land, machines, {}, bus, database, "", disks)
        stack.callback(site.close)
        database.start()
        site.database_url = database.create(DATABASE)
        bus.start()
        _set_up_servers(site)
        _set_up_parties(site, receivers)
        yield site


def go_on_air(site: Site) -> None:
    """Start recorder, receivers and senders, and return when all are there."""
    names = (EAR, *LAYOUT.homes, *LAYOUT.studios)
    for name in names:
        site.start(name)
    for name in names:
        site.services[name].wait()


def go_off_air(site: Site) -> None:
    """End receivers, then senders and recorder; what they wrote down is whole then."""
    for name in LAYOUT.homes:
        site.services[name].signal(signal.SIGTERM)
    for name in (*LAYOUT.homes, *LAYOUT.studios, EAR):
        site.services[name].stop(ENDING_S)


def _inside(land: Land, name: str) -> tuple[str, ...]:
    return tuple(land.hosts[name].command())


def _set_up_servers(site: Site) -> None:
    """Make the operator and the state of each server, by the operator's commands, and start them."""
    first_name, *others = LAYOUT.masters
    first = site.machines[first_name]
    listen = ("--host", first.host.ipv4, "--listen", f"0.0.0.0:{PORT}")
    first.good("init", "--dir", ".", "--operator", "Test TV", *listen)
    for name in (*others, *LAYOUT.replicas):
        role = "master" if name in LAYOUT.masters else "replica"
        who = ("--name", name, "--role", role, "--host", site.land.address(name))
        first.good("cluster", "add", name, *who, "--first-name", first_name)
        shutil.move(first.folder / name, site.machines[name].folder / DISK / STATE)
    (first.folder / STATE).rename(first.folder / DISK / STATE)
    for name in (*LAYOUT.masters, *LAYOUT.replicas):
        _write(site.machines[name].folder / "sealcast.toml", _config(site, name))
        command = (*SEALCAST, "serve", "keyserver")
        site.services[name] = Service(name, site.machines[name], command, prints(READY_LINE))
    # The first makes the schema; the others may come together.
    site.start(first_name)
    site.services[first_name].wait()
    for name in (*others, *LAYOUT.replicas):
        site.start(name)
    for name in (*others, *LAYOUT.replicas):
        site.services[name].wait()


def _config(site: Site, name: str) -> str:
    is_master, host = name in LAYOUT.masters, site.land.address(LAYOUT.database)
    addresses = [f"https://{site.land.address(each)}:{PORT}" for each in (*LAYOUT.replicas, *LAYOUT.masters)]
    return CONFIG.format(
        urls=", ".join(f'"{url}"' for url in addresses),
        database=f'database = "{site.database.url(DATABASE, host=host)}"' if is_master else "",
        role="master" if is_master else "replica",
        bus=", ".join(f'"{url}"' for url in site.bus.urls),
    )


def _set_up_parties(site: Site, receivers: int) -> None:
    """Register senders, channels and devices, and prepare what runs at each of their hosts."""
    folder, share = site.folder, receivers // len(LAYOUT.homes)
    servers = [f"https://{site.land.address(each)}:{PORT}" for each in (*LAYOUT.replicas, *LAYOUT.masters)]
    order = Order(
        operator=str(site.machines[LAYOUT.masters[0]].folder / "operator.vault"),
        servers=servers,
        channels=[
            ChannelData(
                name=name, group=place.rsplit(":", 1)[0], port=int(place.rsplit(":", 1)[1]), **CHANGES
            )
            for name, place in CHANNELS.items()
        ],
        studios={name: str(site.machines[name].folder / "studio.vault") for name in LAYOUT.studios},
        homes={name: str(folder / f"{name}.json") for name in LAYOUT.homes},
        devices_each=share,
        desk=str(site.office.folder / "operator.vault"),
    )
    site.office.host.run(*OURS, office.__file__, msgspec.json.encode(order).decode(), timeout_s=SETTING_UP_S)
    _write(site.office.folder / "sealcast.toml", '[admin]\ncredential = "operator.vault"\n')
    film = folder / "film.bin"
    film.write_bytes(b"".join(number.to_bytes(8, "big") for number in range(FILM_NUMBERS)))
    for name, channel in zip(LAYOUT.studios, CHANNELS, strict=True):
        _write(site.machines[name].folder / "sealcast.toml", "")
        options = ("--credential", order.studios[name], "--input", film, "--rate", RATE, "--loop", "--json")
        command = (*SEALCAST, "send", channel, *options)
        site.services[name] = Service(name, site.machines[name], command, says("on air"))
    for name in LAYOUT.homes:
        told = Crowd(name, order.homes[name], str(folder / f"{name}.story"))
        command = (*OURS, crowd.__file__, msgspec.json.encode(told).decode())
        site.services[name] = Service(name, site.machines[name], command, prints("here"))
    command = (*OURS, recorder.__file__, folder / RECORDING, *CHANNELS.values())
    site.services[EAR] = Service(EAR, site.machines[EAR], command, prints("recording"))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
