"""Owns the channels of a configuration file, `[[send]]` and `[[receive]]`; each error has its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar, get_type_hints

import msgspec

from sealcast.config.schema import ReorderMs, Section
from sealcast.core.errors import UsageError
from sealcast.gateway.restart import Restart

Ttl = Annotated[int, msgspec.Meta(ge=0, le=255)]
TTL_DEFAULT = 16

CHANNELS_MAX = 10_000
"""More in one file is a mistake of the program that wrote it; one process holds some hundreds."""


class SendTable(Section, frozen=True, kw_only=True):
    """`[[send]]`: one channel to send, with its input."""

    channel: str
    input: str
    loop: bool = False
    rate: str | None = None
    interface: str | None = None
    ttl: Ttl = TTL_DEFAULT
    credential: str | None = None
    restart: Restart = "on-failure"


class ReceiveTable(Section, frozen=True, kw_only=True):
    """`[[receive]]`: one channel to receive, with its output."""

    channel: str
    output: str
    interface: str | None = None
    reorder_ms: ReorderMs | None = None
    credential: str | None = None
    restart: Restart = "always"


Table = TypeVar("Table", SendTable, ReceiveTable)

LISTS = ("send", "receive")
"""The names of the lists of tables; no section is called so."""

PATHS = ("input", "output", "credential")
"""Keys that name files, unless they are addresses."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[Table]):
    """A table, and `where` it stands, to begin an error with: file, line, list and channel."""

    where: str
    table: Table


@dataclass(frozen=True, slots=True)
class Channels:
    """All channels of a file."""

    send: tuple[Placed[SendTable], ...] = ()
    receive: tuple[Placed[ReceiveTable], ...] = ()

    def places(self) -> list[str]:
        """Return where each stands."""
        return [placed.where for placed in self.send] + [placed.where for placed in self.receive]


def take_channels(tables: dict[str, object], text: str, path: Path) -> Channels:
    """Take the lists of channels out of a file's tables; raises UsageError with line, key and channel.

    `text` is the file's own, to find the lines in.
    """
    found = {name: tables.pop(name) for name in LISTS if name in tables}
    return Channels(
        send=_read(SendTable, "send", found.get("send", []), text, path),
        receive=_read(ReceiveTable, "receive", found.get("receive", []), text, path),
    )


def _read(kind: type[Table], name: str, found: object, text: str, path: Path) -> tuple[Placed[Table], ...]:
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        line = line_of(text, name, 0, None)
        raise UsageError(f"{path}:{line}: write [[{name}]], in two brackets, before each channel")
    if len(found) > CHANNELS_MAX:
        raise UsageError(f"{path}: {len(found)} channels under [[{name}]]; {CHANNELS_MAX} is the most")
    placed: list[Placed[Table]] = []
    seen: dict[str, str] = {}
    for number, fields in enumerate(found):
        one = _read_one(kind, fields, _Place(name, number, text, path))
        before = seen.setdefault(one.table.channel, one.where)
        if before != one.where:
            raise UsageError(f"{one.where}: this channel stands twice in the file, first at {before}")
        placed.append(one)
    return tuple(placed)


@dataclass(frozen=True, slots=True)
class _Place:
    """The `number`th table of a list in the file at `path`."""

    name: str
    number: int
    text: str
    path: Path

    def where(self, label: str, key: str | None = None) -> str:
        """Return file, line and what stands there, to begin an error with."""
        line = line_of(self.text, self.name, self.number, key)
        return f"{self.path}:{line}: [[{self.name}]] {label}" + (f", {key}" if key else "")


def _read_one(kind: type[Table], fields: Mapping[str, object], place: _Place) -> Placed[Table]:
    channel = fields.get("channel")
    label = channel if isinstance(channel, str) and channel else f"number {place.number + 1}"
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, object] = {}
    for key, value in fields.items():
        where = place.where(label, key)
        if key not in kind.__struct_fields__:
            raise UsageError(f"{where}: no such key; there are {', '.join(kind.__struct_fields__)}")
        try:
            values[key] = msgspec.convert(value, hints[key])
        except UnicodeEncodeError as error:
            raise UsageError(f"{where}: not text in UTF-8") from error
        except msgspec.ValidationError as error:
            raise UsageError(f"{where}: {str(error).splitlines()[0]}") from error
        if key in PATHS and isinstance(value, str):
            values[key] = _resolved(value, place.path.parent, where)
    for key in kind.__struct_fields__[:2]:
        if not values.get(key):
            raise UsageError(f"{place.where(label)}: {key} is missing")
    return Placed(place.where(label), msgspec.convert(values, kind))


def _resolved(text: str, folder: Path, where: str) -> str:
    """Return a path counted from the file's folder; addresses and `-` stay as they are."""
    if "://" in text or text in {"", "-"}:
        return text
    try:
        return str(folder / Path(text).expanduser())
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{where}: no home folder is known for {text!r}; write the whole path") from error


def line_of(text: str, name: str, number: int, key: str | None) -> int:
    """Return the line of a key, or of the beginning, of the `number`th table of a list, counted from 0."""
    count, found, inside = -1, 1, False
    for line_number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            is_ours = bare.startswith("[[") and bare.strip("[ ").split("]")[0].strip("\"' ") == name
            count += is_ours
            inside = is_ours and count == number
            found = line_number if inside else found
        elif inside and key is not None and bare.partition("=")[0].strip("\"' ") == key:
            return line_number
        elif count < 0 and bare.partition("=")[0].strip("\"' ") == name:
            found = line_number
    return found
