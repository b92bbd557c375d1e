"""Owns the measurement of a key server: grants a second over HTTPS, and what each takes of its core.

```
this process, the other core                      `sealcast serve keyserver`, a core to itself
 64 kept-alive connections, TLS 1.3 ── request, signed beforehand ──►  SQLite, WAL, synchronous=FULL
```
Each device asks once for each channel, as at a key change in life: it had the key on air before, and is
granted the next one, so every answer stands for exactly one new grant on disk.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from sealcast.bench import hello
from sealcast.bench.https_load import HttpsLoad, Load, request_bytes
from sealcast.bench.keyserver_site import Device, Program, Site, free_port
from sealcast.bench.processes import beside, last_core
from sealcast.core.errors import LocalError
from sealcast.core.ports import Clock, Random
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations

CONNECTIONS = 64
HELLOS_PER_REQUEST = 2
"""A hello takes a fraction of the time of a grant, so there are more of them."""

KINDS = {"symmetric": KeyKind.SYMMETRIC, "certificate": KeyKind.ED25519}
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What a kind of devices came to; `hello_ratio` is grants a second by hellos a second."""

    grants: int
    grants_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_grant: float
    hello_ratio: float


@dataclass(frozen=True, slots=True)
class KeyserverFigures:
    """What `bench keyserver` shows; `core` is the one that the server was held to, None if to none."""

    connections: int
    core: int | None
    hello_per_s: float
    hello_cpu_us: float
    symmetric: KindFigures
    certificate: KindFigures


@dataclass(frozen=True, slots=True)
class _Timed:
    """A load and the processor time that the server took for one answer."""

    load: Load
    cpu_us: float


def measure_keyserver(
    clock: Clock, random: Random, *, devices: int, channels: int, connections: int, tell: Tell
) -> KeyserverFigures:
    """Measure as many grants of each kind as `devices` times `channels`; certificate devices are a quarter.

    Raises LocalError if a server does not start, a request is refused, or the database does not hold
    exactly the grants that were answered.
    """
    core = last_core()
    with (
        tempfile.TemporaryDirectory(prefix="sealcast-bench-") as folder,
        beside(core),
        Site(Path(folder), random, clock.wall_ns(), channels=channels, core=core) as site,
    ):
        hellos = devices * channels * HELLOS_PER_REQUEST
        before = _hello(site, core, hellos, connections, tell)
        found = {}
        for name, kind in KINDS.items():
            count = devices if kind is KeyKind.SYMMETRIC else max(1, devices // 4)
            tell(f"{count} {name} devices are registered")
            found[name] = _measure_kind(site, site.register(kind, count), connections, name, tell)
        after = _hello(site, core, hellos, connections, tell)
    hello_per_s = mean((before.load.per_s, after.load.per_s))
    figures = {name: _figures(timed, hello_per_s) for name, timed in found.items()}
    hello_cpu_us = mean((before.cpu_us, after.cpu_us))
    return KeyserverFigures(
        connections, core, hello_per_s, hello_cpu_us, figures["symmetric"], figures["certificate"]
    )


def _measure_kind(site: Site, devices: Sequence[Device], connections: int, name: str, tell: Tell) -> _Timed:
    """Have each device ask for each channel twice, with a key change in between; the second time counts."""
    with HttpsLoad(site.port, site.ca_pem, connections) as load:
        tell(f"{name} devices ask for the first time")
        load.drive(_posts(site.requests(devices)))
        site.turn()
        requests = _posts(site.requests(devices))
        tell(f"{len(requests)} requests of {name} devices")
        before = site.grants()
        timed = _timed(site.server, load, requests)
    new = site.grants() - before
    if new != len(requests):
        raise LocalError(f"{len(requests)} requests were granted, and the database has {new} new grants")
    return timed


def _hello(site: Site, core: int | None, count: int, connections: int, tell: Tell) -> _Timed:
    """Measure hellos over the same TLS, by a server of its own on the same core."""
    port = free_port()
    certificate = (str(site.state / "tls.pem"), str(site.state / "tls.key"))
    tell(f"{count} hellos")
    server = Program(("sealcast.bench.hello", str(port), *certificate), site.folder, port, core)
    try:
        requests = [request_bytes("GET", hello.PATH)] * count
        with HttpsLoad(port, site.ca_pem, connections) as load:
            load.drive(requests[: count // 4])
            return _timed(server, load, requests)
    finally:
        server.stop()


def _timed(server: Program, load: HttpsLoad, requests: Sequence[bytes]) -> _Timed:
    began_s = server.cpu_s
    done = load.drive(requests)
    return _Timed(done, (server.cpu_s - began_s) / done.answers * 1e6)


def _posts(tokens: Sequence[bytes]) -> list[bytes]:
    return [request_bytes("POST", operations.KEYS.path, token) for token in tokens]


def _figures(timed: _Timed, hello_per_s: float) -> KindFigures:
    load = timed.load
    return KindFigures(
        load.answers, load.per_s, load.p50_ms, load.p99_ms, timed.cpu_us, load.per_s / hello_per_s
    )
