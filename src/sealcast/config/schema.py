"""Owns the settings: which sections and keys there are, their types, limits and defaults."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from sealcast.core.errors import UsageError

LISTEN_DEFAULT = "127.0.0.1:8443"
RECEPTION_LISTEN_DEFAULT = "127.0.0.1:8445"
ESCROW_LISTEN_DEFAULT = "127.0.0.1:8446"
REORDER_MS_MAX = 10_000
"""Ten seconds of a stream waiting for one packet is beyond every network this is made for."""

REORDER_MS_DEFAULT = 20
PORT_DIGITS_MAX = 5
PORT_MAX = 65_535

CERTIFICATE_DAYS_DEFAULT = 30
"""A stolen device is of use for so long at most, and one that is switched off on holiday comes back."""

CERTIFICATE_DAYS_MAX = 3_650

EVENT_STREAMS_DEFAULT = 20_000
EVENT_STREAMS_MAX = 1_000_000
"""Far above the ports and memory of any machine that this was tried on."""

EVENTS_OFF = "off"

EventStreams = Annotated[int, msgspec.Meta(ge=1, le=EVENT_STREAMS_MAX)]
HEARTBEAT_S_DEFAULT = 30
"""A receiver that is gone is known after a minute and a half; ten thousand cost 333 requests a second."""

HEARTBEAT_S_MAX = 3_600

HeartbeatS = Annotated[int, msgspec.Meta(ge=1, le=HEARTBEAT_S_MAX)]
CertificateDays = Annotated[int, msgspec.Meta(ge=1, le=CERTIFICATE_DAYS_MAX)]
SETTLE_S_DEFAULT = 15
"""Three of a sender's reports: what it had to say of an epoch that is off air has arrived."""

WAIT_H_DEFAULT = 24
SettleS = Annotated[int, msgspec.Meta(ge=1, le=3_600)]
WaitH = Annotated[int, msgspec.Meta(ge=0, le=744)]
AnchorDay = Annotated[int, msgspec.Meta(ge=1, le=31)]
NEXT_S_DEFAULT = 30
"""A replica that hears nothing for so long may not know of a removal: it gives out no next key."""

LEASE_S_DEFAULT = 10
"""A master that is gone is missed for so long; one that is only slow renews four times meanwhile."""

NextS = Annotated[int, msgspec.Meta(ge=2, le=3_600)]
LeaseS = Annotated[int, msgspec.Meta(ge=1, le=600)]
Prefix = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
EvidenceDays = Annotated[int, msgspec.Meta(ge=0, le=3_650)]
ReorderMs = Annotated[int, msgspec.Meta(ge=0, le=REORDER_MS_MAX)]
SILENCE_S_DEFAULT = 20
"""Replicas that are cut off give out a next key for 30 s: a sender waits before that is over."""

SilenceS = Annotated[int, msgspec.Meta(ge=1, le=3_600)]
CrlS = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)]
RefundsMax = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
WaitS = Annotated[int, msgspec.Meta(ge=1, le=10 * 366 * 86_400)]
"""How long an order may wait: up to ten years."""

ServerChoice = Literal["fixed", "round-robin", "listed"]
"""How a party chooses among its key servers (`client.choosing`)."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all sections share: unknown keys are errors."""


class KeyServerSection(Section, frozen=True):
    """`serve keyserver`: where it listens, under which addresses it is known, where its state is.

    `database` is a file in place of that in the state, or an address, `postgresql://USER@HOST/NAME`.
    `certificate_days` is how long the certificates are good for that it issues to devices and others.
    `heartbeat_s` is how often receivers say that they live, `reception` the addresses of reception managers
    that stand apart, if any do.
    `unsold` says what a device hears that nobody sold: why, or nothing.
    `events` is where it pushes events, `HOST:PORT` or `off`; unless given, the port behind that of `listen`.
    """

    listen: str = LISTEN_DEFAULT
    urls: list[str] = []
    state: str | None = None
    database: str | None = None
    certificate_days: CertificateDays = CERTIFICATE_DAYS_DEFAULT
    heartbeat_s: HeartbeatS = HEARTBEAT_S_DEFAULT
    reception: list[str] = []
    unsold: Literal["refuse", "silent"] = "refuse"
    events: str | None = None
    event_urls: list[str] = []
    event_streams: EventStreams = EVENT_STREAMS_DEFAULT


class ReceptionSection(Section, frozen=True):
    """`serve reception`: where it listens, its addresses, state, and database if that is not in the state.

    `heartbeat_s` is that of the key servers that ask it.
    """

    listen: str = RECEPTION_LISTEN_DEFAULT
    urls: list[str] = []
    state: str | None = None
    database: str | None = None
    heartbeat_s: HeartbeatS = HEARTBEAT_S_DEFAULT


class ClusterSection(Section, frozen=True):
    """Several key servers as one: what this one is of them, and the bus between them.

    `bus` are addresses as `nats://HOST:PORT`, `bus_credentials` a file with `user:password` or credentials of
    nsc, `bus_ca` the CA of `tls://` addresses, the operator's unless given; `prefix` begins all names on the
    bus. A replica gives out next keys while what it knows is younger than `next_s`; a master
    that is not heard of for `lease_s` is replaced by another.
    """

    role: Literal["master", "replica"] | None = None
    bus: list[str] = []
    bus_credentials: str | None = None
    bus_ca: str | None = None
    prefix: Prefix = "sealcast"
    next_s: NextS = NEXT_S_DEFAULT
    lease_s: LeaseS = LEASE_S_DEFAULT


class BillingSection(Section, frozen=True):
    """Bills: when an epoch counts as over, how long a bill waits for that, how customers are billed at first.

    `evidence_days` is how long devices' signed requests for keys are kept, 0 not at all.
    """

    settle_s: SettleS = SETTLE_S_DEFAULT
    wait_h: WaitH = WAIT_H_DEFAULT
    cycle: Literal["monthly", "weekly", "daily", "closing"] = "monthly"
    zone: str = "UTC"
    anchor_day: AnchorDay = 1
    evidence_days: EvidenceDays = 0


class EscrowSection(Section, frozen=True):
    """`serve escrow`: where it listens, its addresses, state, and database if that is not in the state.

    `key_servers` tell who was revoked, those of the state unless given, or `crl`, a file; read every
    `crl_every_s`, and nothing is opened under a list older than `crl_max_age_s`. `token` is a PKCS#11 URI:
    new private keys are made in it. An order that is not paid within `placed_s` expires; paid and not opened
    for `paid_s`, the money goes back; opened and nothing said for `issued_s`, it is the seller's; a dispute
    that nobody ends in `disputed_s` ends as `dispute_ends` says. Of one buyer and price class no more than
    `refunds_max` orders go back within `refunds_s`.
    """

    listen: str = ESCROW_LISTEN_DEFAULT
    urls: list[str] = []
    state: str | None = None
    database: str | None = None
    key_servers: list[str] = []
    crl: str | None = None
    crl_every_s: CrlS = 60
    crl_max_age_s: CrlS = 900
    token: str | None = None
    placed_s: WaitS = 86_400
    paid_s: WaitS = 7 * 86_400
    issued_s: WaitS = 7 * 86_400
    disputed_s: WaitS = 30 * 86_400
    dispute_ends: Literal["release", "refund"] = "release"
    refunds_max: RefundsMax = 20
    refunds_s: WaitS = 30 * 86_400


class AdminSection(Section, frozen=True):
    """Administration: the vault of the operator."""

    credential: str | None = None


class SenderSection(Section, frozen=True):
    """`send`: the sender's vault, the folder of its key state, how it chooses among several key servers.

    When none has answered for `silence_s`, its keys do not change by the schedule: see `next_s` of replicas.
    """

    credential: str | None = None
    state: str | None = None
    servers: ServerChoice = "listed"
    silence_s: SilenceS = SILENCE_S_DEFAULT


class ReceiverSection(Section, frozen=True):
    """`receive`: the device's vault, where its state is, where to join, how long to wait for stragglers.

    `servers` is how it chooses among several key servers.
    """

    credential: str | None = None
    state: str | None = None
    interface: str | None = None
    reorder_ms: ReorderMs = REORDER_MS_DEFAULT
    servers: ServerChoice = "fixed"


class LoggingSection(Section, frozen=True):
    """What is logged to standard error, and how; `auto` is `human` on a terminal and `json` elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "human", "json"] = "auto"


class Settings(Section, frozen=True):
    """All settings of one file."""

    keyserver: KeyServerSection = KeyServerSection()
    cluster: ClusterSection = ClusterSection()
    reception: ReceptionSection = ReceptionSection()
    escrow: EscrowSection = EscrowSection()
    billing: BillingSection = BillingSection()
    admin: AdminSection = AdminSection()
    sender: SenderSection = SenderSection()
    receiver: ReceiverSection = ReceiverSection()
    logging: LoggingSection = LoggingSection()


SECTIONS: dict[str, type[Section]] = {
    "keyserver": KeyServerSection,
    "cluster": ClusterSection,
    "reception": ReceptionSection,
    "escrow": EscrowSection,
    "billing": BillingSection,
    "admin": AdminSection,
    "sender": SenderSection,
    "receiver": ReceiverSection,
    "logging": LoggingSection,
}

URL_KEYS = frozenset({"urls", "event_urls", "reception", "key_servers"})
"""Keys that are lists of servers' addresses."""

LIST_KEYS = URL_KEYS | {"bus"}
"""Keys that are lists: in the environment, commas stand between their parts."""

PATH_KEYS = frozenset({("keyserver", "state"), ("admin", "credential"), ("sender", "credential")}) | {
    ("sender", "state"),
    ("reception", "state"),
    ("reception", "database"),
    ("escrow", "state"),
    ("escrow", "database"),
    ("escrow", "crl"),
    ("keyserver", "database"),
    ("cluster", "bus_credentials"),
    ("cluster", "bus_ca"),
    ("receiver", "state"),
    ("receiver", "credential"),
}
"""Keys that name files: a relative one counts from the folder of the configuration file. A database may have
an address instead, which stays as it is."""

BUS_SCHEMES = ("nats://", "tls://")
DATABASE_SCHEME = "postgresql://"


def parse_listen(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`, `[IPV6]:PORT` as address and port; raises UsageError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = host[1:-1] if bracketed else host
    if not colon or not port.isdecimal() or len(port) > PORT_DIGITS_MAX or not 0 < int(port) < 65_536:
        raise UsageError(f"not an address to listen on: {text!r}; write for instance 0.0.0.0:8443")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError as error:
        raise UsageError(f"not a numeric address: {address!r}; write for instance 0.0.0.0:8443") from error
    if (version == 6) != bracketed:
        raise UsageError(f"write an IPv6 address in brackets, an IPv4 address without: {text!r}")
    return address, int(port)


def parse_events(text: str | None, listen: tuple[str, int]) -> tuple[str, int] | None:
    """Read where events are pushed: `HOST:PORT`, `off`, else the port behind `listen`; raises UsageError."""
    if text == EVENTS_OFF:
        return None
    if text is not None:
        return parse_listen(text)
    return (listen[0], listen[1] + 1) if listen[1] < PORT_MAX else None


def check_url(url: str) -> str:
    """Return the address of a key server without a slash at its end; raises UsageError."""
    rest = url.removeprefix("https://").rstrip("/")
    if rest == url.rstrip("/") or not rest or "/" in rest or " " in rest:
        raise UsageError(
            f"not the address of a key server: {url!r}; write for instance https://keys.example:8443"
        )
    return url.rstrip("/")


def check_bus(url: str) -> str:
    """Return the address of a server of the bus; raises UsageError, which does not tell a password in it."""
    if not url.startswith(BUS_SCHEMES) or not url.partition("://")[2].strip("/") or " " in url:
        raise UsageError("not the address of a server of the bus; write for instance nats://bus.example:4222")
    return url.rstrip("/")


def is_address(database: str) -> bool:
    """Whether a database has an address, and is no file; raises UsageError for an address of another kind."""
    if "://" in database and not database.startswith(DATABASE_SCHEME):
        raise UsageError(
            "a database is a file, or PostgreSQL: write for instance postgresql://sealcast@db.example/sealcast"
        )
    return database.startswith(DATABASE_SCHEME)
