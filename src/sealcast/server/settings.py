"""Owns the settings of a running key server, as the command line and configuration give them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EVENT_STREAMS_MAX = 20_000
"""Streams of one event process: 15 kB each, and one process sends to 10,000 in about a second."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Where a key server pushes events, and to how many.

    `urls` are the `https://` addresses that parties are told, those of the key server with this port unless
    given. With `is_optional`, a key server whose port for events is taken does without.
    """

    host: str
    port: int
    urls: tuple[str, ...] = ()
    streams_max: int = EVENT_STREAMS_MAX
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """How bills are made of what a key server records.

    An epoch counts as over once it has been off air for `settle_ms`: then its sender has reported all of it.
    A bill waits for the epochs of its period to be over, at most `wait_ms` after its end. Customers that
    nobody set have bills by `cycle`, `zone` and `anchor_day`. Devices' requests for keys are kept as evidence
    for `evidence_days`, 0 not at all.
    """

    settle_ms: int = 15_000
    wait_ms: int = 86_400_000
    cycle: Literal["monthly", "weekly", "daily", "closing"] = "monthly"
    zone: str = "UTC"
    anchor_day: int = 1
    evidence_days: int = 0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How a key server is one of several.

    `bus` are the addresses of the bus' servers, `nats://HOST:PORT`; `bus_credentials` a file of NATS
    credentials, `bus_ca` one with the CA of `tls://` addresses, the operator's unless given. `prefix` begins
    the names of everything on the bus. A replica gives out the next key while what it knows of who may have
    it is younger than `stale_after_ms`. A master's lease lasts `lease_ms`.
    """

    role: Literal["master", "replica"]
    bus: tuple[str, ...]
    bus_credentials: Path | None = None
    bus_ca: Path | None = None
    prefix: str = "sealcast"
    stale_after_ms: int = 30_000
    lease_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class KeyserverSettings:
    """Where a key server keeps its state and where it listens.

    `host` is a name or address of this machine, `port` a free TCP port. `database` is the state directory's
    own unless given, a file or an address, `postgresql://USER@HOST/NAME`; `urls` are the `https://` addresses
    that grants tell, those of `sealcast init` unless given. Parties' certificates are issued for
    `certificate_days`. Without `events` none are pushed. `unsold` says whether devices that nobody sold are
    told so, or get no response at all. Receivers say every `heartbeat_ms` that they live. `reception` are the
    addresses of reception managers that stand apart; without any, the key server keeps the record of
    receptions itself.
    Without `cluster` it is the only one.
    """

    state_directory: Path
    host: str
    port: int
    database: Path | str | None = None
    urls: tuple[str, ...] = ()
    certificate_days: int = 30
    heartbeat_ms: int = 30_000
    reception: tuple[str, ...] = ()
    unsold: Literal["refuse", "silent"] = "refuse"
    events: EventSettings | None = None
    billing: BillingSettings = BillingSettings()
    cluster: ClusterSettings | None = None
