"""Owns how settings come together: environment over file over default, each error with its place.

A flag stands over all of these; the command that has it applies it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_type_hints

import msgspec

from sealcast.config.channels import LISTS, Channels, take_channels
from sealcast.config.places import FILE_NAME, config_dir
from sealcast.config.schema import (
    LIST_KEYS,
    LISTEN_DEFAULT,
    PATH_KEYS,
    SECTIONS,
    URL_KEYS,
    ServerChoice,
    Settings,
    check_bus,
    check_url,
    is_address,
    parse_events,
    parse_listen,
)
from sealcast.core.errors import UsageError

CONFIG_BYTES_MAX = 1 << 20
"""A configuration file has some lines; something else was named by mistake."""

ENVIRONMENT_PREFIX = "SEALCAST_"
CONFIG_VARIABLE = "SEALCAST_CONFIG"

Origin = Literal["default", "file", "environment"]
Tables = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the file that was looked for, where each value came from, and the file's channels."""

    settings: Settings
    path: Path
    origins: Mapping[tuple[str, str], Origin]
    channels: Channels

    def choosing(self, servers: str) -> "Loaded":
        """Return settings under which senders and receivers choose so among key servers."""
        choice = msgspec.convert(servers, ServerChoice)
        told = self.settings
        sender = msgspec.structs.replace(told.sender, servers=choice)
        receiver = msgspec.structs.replace(told.receiver, servers=choice)
        return replace(self, settings=msgspec.structs.replace(told, sender=sender, receiver=receiver))


def load(path: Path | None, environment: Mapping[str, str]) -> Loaded:
    """Read the file at `path` (else as the environment says, else the usual place) and lay over it.

    Raises UsageError with line and key for what does not fit; the usual place may be empty, a named file
    must exist.
    """
    named = path or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    place = Path.cwd() / named if named else config_dir(environment) / FILE_NAME
    text = _read(place, required=named is not None)
    found = _decode(text, place)
    channels = take_channels(found, text, place)
    tables = _checked(found, text, place)
    origins: dict[tuple[str, str], Origin] = {
        (section, key): "file" for section, table in tables.items() for key in table
    }
    overlay = _from_environment(environment)
    for (section, key), value in overlay.items():
        tables.setdefault(section, {})[key] = value
        origins[section, key] = "environment"
    settings = msgspec.convert(_resolved(tables, place.parent, overlay), Settings)
    return Loaded(settings=settings, path=place, origins=origins, channels=channels)


def _read(path: Path, *, required: bool) -> str:
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise UsageError(f"{path} is too large for a configuration file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if required:
            raise UsageError(f"there is no configuration file {path}") from error
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _decode(text: str, path: Path) -> dict[str, object]:
    """Return what a file holds, not checked yet; raises UsageError naming the line."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Mostly TOMLDecodeError; the others are for numbers and nesting beyond all measure.
        raise UsageError(f"{path}: {_first_line(error)}") from error


def _checked(found: dict[str, object], text: str, path: Path) -> Tables:
    """Return the checked sections of a file; raises UsageError naming line and key."""
    tables: Tables = {}
    for section, table in found.items():
        kind = SECTIONS.get(section)
        where = f"{path}:{_line_of(text, section, None)}: [{section}]"
        if kind is None or not isinstance(table, dict):
            lists = " and ".join(f"[[{name}]]" for name in LISTS)
            raise UsageError(f"{where}: no such section; there are {', '.join(SECTIONS)}, and lists {lists}")
        tables[section] = {}
        for key, value in table.items():
            where = f"{path}:{_line_of(text, section, key)}: [{section}] {key}"
            tables[section][key] = _check(kind, section, key, value, where)
    return tables


def _check(
    kind: type[msgspec.Struct], section: str, key: str, value: object, where: str, *, strict: bool = True
) -> object:
    """Return `value` under its key's type, read from text unless `strict`; raises UsageError with `where`."""
    hints = get_type_hints(kind, include_extras=True)
    if key not in kind.__struct_fields__:
        raise UsageError(f"{where}: no such key; there are {', '.join(kind.__struct_fields__)}")
    try:
        converted: object = msgspec.convert(value, hints[key], strict=strict)
        if key == "listen":
            parse_listen(str(converted))
        if (section, key) == ("keyserver", "events") and converted is not None:
            parse_events(str(converted), parse_listen(LISTEN_DEFAULT))
        if key in URL_KEYS and isinstance(converted, list):
            return [check_url(url) for url in converted]
        if key == "bus" and isinstance(converted, list):
            return [check_bus(url) for url in converted]
        if key == "database" and isinstance(converted, str):
            is_address(converted)
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: not text in UTF-8") from error
    except (msgspec.ValidationError, UsageError) as error:
        raise UsageError(f"{where}: {_first_line(error)}") from error
    return converted


def _from_environment(environment: Mapping[str, str]) -> dict[tuple[str, str], object]:
    """Return the settings given as SEALCAST_<SECTION>_<KEY>; a list has commas between its parts."""
    found: dict[tuple[str, str], object] = {}
    for name, text in environment.items():
        section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        kind = SECTIONS.get(section)
        if not name.startswith(ENVIRONMENT_PREFIX) or kind is None:
            continue
        value: object = (
            [part.strip() for part in text.split(",") if part.strip()] if key in LIST_KEYS else text
        )
        found[section, key] = _check(kind, section, key, value, name, strict=isinstance(value, list))
    return found


def _resolved(tables: Tables, folder: Path, overlay: Mapping[tuple[str, str], object]) -> Tables:
    """Return the tables with paths made absolute: the file's from its folder, others from where we are."""
    result: Tables = {}
    for section, table in tables.items():
        result[section] = dict(table)
        for key, value in table.items():
            if (section, key) in PATH_KEYS and isinstance(value, str) and "://" not in value:
                base = Path.cwd() if (section, key) in overlay else folder
                result[section][key] = str(base / _home_in(value, f"[{section}] {key}"))
    return result


def _home_in(text: str, where: str) -> Path:
    """Return a path with `~` resolved; raises UsageError for a user that this machine does not know."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{where}: no home folder is known for {text!r}; write the whole path") from error


def _line_of(text: str, section: str, key: str | None) -> int:
    """Return the number of the line where a section or key stands; the section's if the key's is unclear."""
    inside, found = False, 1
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            inside = bare.strip("[ ").split("]")[0].strip("\"' ") == section
            found = number if inside else found
        elif inside == (key is not None) and bare.partition("=")[0].strip("\"' ") == (key or section):
            return number
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["does not fit"])[0]
