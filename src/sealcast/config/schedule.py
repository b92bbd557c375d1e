"""Owns the schedule file of `send --schedule`: its keys, their checks, and where each error stands.

```toml
zone = "Europe/Berlin"            # of local times; UTC unless given
[[programme]]
channel = "news"
start = 20:00:00                  # each day; or 2026-11-23T20:00:00, or with an offset: once
content = "evening.ts"            # file, udp://..., rtp://... or -
```
"""

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from sealcast.config.channels import TTL_DEFAULT, Ttl, line_of
from sealcast.config.schema import Section
from sealcast.core.channel import parse_duration_ms
from sealcast.core.errors import UsageError
from sealcast.gateway.programme import WEEKDAYS, Change, Overrun, Programme, WithoutKey

SCHEDULE_BYTES_MAX = 4 << 20
PROGRAMMES_MAX = 10_000
"""A year of one channel with a programme an hour; more in one file is a mistake of what wrote it."""

STAY_DEFAULT = "1m"
LIST = "programme"
DAY_MS = 86_400_000


class ProgrammeTable(Section, frozen=True, kw_only=True):
    """`[[programme]]`: what is sent on a channel from an instant on."""

    channel: str
    start: dt.datetime | dt.time
    content: str
    days: list[str] | None = None
    duration: str | None = None
    lifetime: str | None = None
    change: Change = "at-start"
    without_key: WithoutKey = "extend"
    overrun: Overrun = "cut"
    loop: bool = False
    rate: str | None = None


class Head(Section, frozen=True, kw_only=True):
    """What stands before the programmes and holds for all of them."""

    zone: str = "UTC"
    stay: str = STAY_DEFAULT
    interface: str | None = None
    ttl: Ttl = TTL_DEFAULT
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule file. A channel without anything to send for longer than `stay_ms` says BYE."""

    path: Path
    zone: dt.tzinfo
    stay_ms: int
    head: Head
    programmes: tuple[Programme, ...]

    @property
    def channels(self) -> list[str]:
        """The channels, each once, as they come in the file."""
        return list(dict.fromkeys(each.channel for each in self.programmes))


def read_schedule(path: Path) -> Schedule:
    """Read a file; raises UsageError with file, line and key for what does not fit."""
    text = _read(path)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {(str(error).splitlines() or ['does not fit'])[0]}") from error
    rows = tables.pop(LIST, [])
    head = _read_head(tables, text, path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: write [[{LIST}]], in two brackets, before each programme")
    if not 0 < len(rows) <= PROGRAMMES_MAX:
        raise UsageError(f"{path}: {len(rows)} programmes under [[{LIST}]]; 1 to {PROGRAMMES_MAX} are read")
    zone = _zone(head.zone, f"{path}:{_head_line(text, 'zone')}: zone")
    programmes = tuple(_read_row(row, number, zone, text, path) for number, row in enumerate(rows))
    stay_ms = _duration(head.stay, f"{path}:{_head_line(text, 'stay')}: stay")
    return Schedule(path, zone, stay_ms, head, programmes)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > SCHEDULE_BYTES_MAX:
            raise UsageError(f"{path} is too large for a schedule")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot read the schedule {path}: {error.strerror}") from error


def _read_head(tables: Mapping[str, object], text: str, path: Path) -> Head:
    values = {
        key: _convert(Head, key, value, f"{path}:{_head_line(text, key)}: {key}")
        for key, value in tables.items()
    }
    return msgspec.convert(values, Head)


def _read_row(row: Mapping[str, object], number: int, zone: dt.tzinfo, text: str, path: Path) -> Programme:
    channel = row.get("channel")
    label = channel if isinstance(channel, str) and channel else f"number {number + 1}"

    def where(key: str | None = None) -> str:
        line = line_of(text, LIST, number, key)
        return f"{path}:{line}: [[{LIST}]] {label}" + (f", {key}" if key else "")

    values = {key: _convert(ProgrammeTable, key, value, where(key)) for key, value in row.items()}
    for key in ("channel", "start", "content"):
        if not values.get(key) and not isinstance(values.get(key), dt.time):
            raise UsageError(f"{where()}: {key} is missing")
    # Each value was converted to the type of its key: no converter takes dates and times under one.
    table: ProgrammeTable = cast("type[Any]", ProgrammeTable)(**values)
    once, daily = _start(table.start, zone, where("start"))
    if table.days is not None and daily is None:
        raise UsageError(f"{where('days')}: weekdays are for a time of the day as start")
    duration_ms = None if table.duration is None else _duration(table.duration, where("duration"))
    if duration_ms is not None and duration_ms > DAY_MS:
        raise UsageError(f"{where('duration')}: a programme lasts a day at most")
    return Programme(
        where=where(),
        channel=table.channel,
        content=_resolved(table.content, path.parent),
        zone=zone,
        once=once,
        daily=daily,
        days=_days(table.days, where("days")),
        duration_ms=duration_ms,
        lifetime_ms=None if table.lifetime is None else _duration(table.lifetime, where("lifetime")),
        change=table.change,
        without_key=table.without_key,
        overrun=table.overrun,
        loop=table.loop,
        rate=table.rate,
    )


def _convert(kind: type[msgspec.Struct], key: str, value: object, where: str) -> object:
    if key not in kind.__struct_fields__:
        raise UsageError(f"{where}: no such key; there are {', '.join(kind.__struct_fields__)}")
    if key == "start":
        return _clock(value, where)
    try:
        converted: object = msgspec.convert(value, get_type_hints(kind, include_extras=True)[key])
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise UsageError(f"{where}: {str(error).splitlines()[0]}") from error
    return converted


def _clock(value: object, where: str) -> object:
    if isinstance(value, dt.datetime | dt.time):
        return value
    raise UsageError(
        f"{where}: write a time of the day (20:00:00) or an instant (2026-11-23T20:00:00), without quotes"
    )


def _start(
    value: dt.datetime | dt.time, zone: dt.tzinfo, where: str
) -> tuple[dt.datetime | None, dt.time | None]:
    if isinstance(value, dt.time):
        return None, value
    local = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    if not 1970 < local.year < 9_999:
        raise UsageError(f"{where}: no such year")
    return local, None


def _zone(name: str, where: str) -> dt.tzinfo:
    if name == "UTC":
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"{where}: this machine knows no time zone {name!r}; write for instance Europe/Berlin or UTC"
        ) from error


def _days(names: list[str] | None, where: str) -> frozenset[int]:
    if names is None:
        return frozenset(range(len(WEEKDAYS)))
    wrong = [name for name in names if name not in WEEKDAYS]
    if wrong or not names:
        raise UsageError(f"{where}: give some of {', '.join(WEEKDAYS)}")
    return frozenset(WEEKDAYS.index(name) for name in names)


def _duration(text: str, where: str) -> int:
    try:
        return parse_duration_ms(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _resolved(text: str, folder: Path) -> str:
    """Return a path counted from the file's folder; addresses and `-` stay as they are."""
    return text if "://" in text or text == "-" else str(folder / Path(text))


def _head_line(text: str, key: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().startswith("["):
            break
        if line.partition("=")[0].strip("\"' ") == key:
            return number
    return 1
