"""Owns how a channel stands in messages, and the checks that make it a `ChannelSpec`."""

import ipaddress

import msgspec

from sealcast.core.channel import (
    REPEATS,
    ChannelSpec,
    Framing,
    KeyMaker,
    ScheduleKind,
    Suite,
    Threshold,
)
from sealcast.core.errors import UsageError
from sealcast.core.ids import U32_MAX, ChannelNumber
from sealcast.messages.scrambling import check_scrambling

LIFETIME_MS_MIN = 1_000
"""Below a second a change costs more than it protects, and a fetch may not fit."""

LIFETIME_MS_MAX = 7 * 86_400_000
FRESH_EVERY_MS_MAX = 7 * 86_400_000
"""Whoever leaves in silence can follow a chain to its end: a week is long enough."""

REPEATS_MAX = 16
CYCLE_MAX = 1_024
NAME_CHARS_MAX = 64
PORT_MAX = 65_534
"""The highest even port whose neighbour exists."""

_SSM_V4 = ipaddress.ip_network("232.0.0.0/8")


class ChannelData(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A channel as written in JSON; field by field a `ChannelSpec`, thresholds as `25%` or `90s`."""

    name: str
    group: str
    port: int
    number: int = 0
    source: str | None = None
    interface: str | None = None
    suite: str = "aes-128-gcm"
    keys: str = "sender"
    lifetime_ms: int = 600_000
    publish_at: str = "50%"
    prefetch_at: str = "25%"
    schedule: str = "fetch"
    fresh_every_ms: int = 3_600_000
    repeats: int = REPEATS
    cycle: int = 0
    confidential: bool = False
    patterns: str = ""
    framing: str = "keyed"
    ask: str | None = None


def channel_data(spec: ChannelSpec) -> ChannelData:
    """Return the JSON form of a channel."""
    return ChannelData(
        number=spec.number,
        name=spec.name,
        group=spec.group,
        port=spec.port,
        source=spec.source,
        interface=spec.interface,
        suite=spec.suite.value,
        keys=spec.keys.value,
        lifetime_ms=spec.lifetime_ms,
        publish_at=str(spec.publish_at),
        prefetch_at=str(spec.prefetch_at),
        schedule=spec.schedule.value,
        fresh_every_ms=spec.fresh_every_ms,
        repeats=spec.repeats,
        cycle=spec.cycle,
        confidential=spec.confidential,
        patterns=str(spec.patterns) if spec.patterns is not None else "",
        framing=spec.framing.value,
        ask=spec.ask,
    )


def channel_spec(data: ChannelData) -> ChannelSpec:
    """Check a channel and return it; raises UsageError naming what does not fit and what would."""
    _check_name(data.name)
    _check_address(data)
    try:
        suite, keys = Suite(data.suite), KeyMaker(data.keys)
        schedule, framing = ScheduleKind(data.schedule), Framing(data.framing)
    except ValueError as error:
        known = "; ".join(f"{kind.__name__}: {_names(kind)}" for kind in _KINDS)
        raise UsageError(f"{error}; {known}") from error
    if not LIFETIME_MS_MIN <= data.lifetime_ms <= LIFETIME_MS_MAX:
        raise UsageError("the lifetime of a key lies between 1s and 7d")
    publish_at, prefetch_at = Threshold.parse(data.publish_at), Threshold.parse(data.prefetch_at)
    if prefetch_at.of_ms(data.lifetime_ms) >= publish_at.of_ms(data.lifetime_ms):
        raise UsageError("--prefetch-at must come after --publish-at: give it the smaller remaining time")
    if not 0 <= data.number <= U32_MAX:
        raise UsageError("a channel number is a u32")
    if schedule is ScheduleKind.CHAIN:
        _check_chain(data, keys)
    patterns = check_scrambling(
        data.patterns, suite, framing, ask=data.ask, is_confidential=data.confidential
    )
    return ChannelSpec(
        number=ChannelNumber(data.number),
        name=data.name,
        group=str(ipaddress.ip_address(data.group)),
        port=data.port,
        source=data.source,
        interface=data.interface,
        suite=suite,
        keys=keys,
        lifetime_ms=data.lifetime_ms,
        publish_at=publish_at,
        prefetch_at=prefetch_at,
        schedule=schedule,
        fresh_every_ms=data.fresh_every_ms,
        repeats=data.repeats,
        cycle=data.cycle,
        confidential=data.confidential,
        patterns=patterns,
        framing=framing,
        ask=data.ask,
    )


def _check_chain(data: ChannelData, keys: KeyMaker) -> None:
    if keys is not KeyMaker.SENDER:
        raise UsageError("the sender makes the keys of a chain: its updates travel with the stream")
    if not data.lifetime_ms <= data.fresh_every_ms <= FRESH_EVERY_MS_MAX:
        raise UsageError("a fresh start comes after one lifetime of a key at the earliest, 7d at the latest")
    if not 1 <= data.repeats <= REPEATS_MAX:
        raise UsageError(f"an update is sent 1 to {REPEATS_MAX} times")
    if not 0 <= data.cycle <= CYCLE_MAX:
        raise UsageError(f"a prepared cycle has at most {CYCLE_MAX} updates")


def _check_name(name: str) -> None:
    letters = name.replace("-", "").replace("_", "").replace(".", "")
    if not (0 < len(name) <= NAME_CHARS_MAX and letters.isalnum() and name.isascii() and not name.isdigit()):
        raise UsageError(f"not a channel name: {name[:80]!r}; use letters, digits, '-', '_' and '.'")


def _check_address(data: ChannelData) -> None:
    try:
        group = ipaddress.ip_address(data.group)
        source = ipaddress.ip_address(data.source) if data.source is not None else None
    except ValueError as error:
        raise UsageError(f"{error}; give numeric addresses") from error
    if not group.is_multicast:
        raise UsageError(f"{group} is not a multicast group; use 239.0.0.0/8, 232.0.0.0/8 or ff00::/8")
    if source is not None and (source.version != group.version or source.is_multicast):
        raise UsageError(f"{source} cannot be the source of {group}")
    if source is None and group in _SSM_V4:
        raise UsageError(f"{group} is source-specific (RFC 4607): give the sender's address with --source")
    if not 0 < data.port <= PORT_MAX or data.port % 2:
        raise UsageError(
            f"the data port is even, 2 to {PORT_MAX} (control takes the next one), not {data.port}"
        )


_KINDS = (Suite, KeyMaker, ScheduleKind, Framing)


def _names(kinds: type[Suite] | type[KeyMaker] | type[ScheduleKind] | type[Framing]) -> str:
    return ", ".join(kind.value for kind in kinds)
