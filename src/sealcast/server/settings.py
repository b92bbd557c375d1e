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
class KeyserverSettings:
    """Where a key server keeps its state and where it listens.

    `host` is a name or address of this machine, `port` a free TCP port. `database` is the state directory's
    own unless given; `urls` are the `https://` addresses that grants tell, those of `sealcast init` unless
    given. Parties' certificates are issued for `certificate_days`. Without `events` none are pushed.
    `unsold` says whether devices that nobody sold are told so, or get no response at all.
    Receivers say every `heartbeat_ms` that they live. `reception` are the addresses of reception managers
    that stand apart; without any, the key server keeps the record of receptions itself.
    """

    state_directory: Path
    host: str
    port: int
    database: Path | None = None
    urls: tuple[str, ...] = ()
    certificate_days: int = 30
    heartbeat_ms: int = 30_000
    reception: tuple[str, ...] = ()
    unsold: Literal["refuse", "silent"] = "refuse"
    events: EventSettings | None = None
