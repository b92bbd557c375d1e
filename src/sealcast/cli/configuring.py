"""Owns what commands write into a configuration: a new file, or a missing section at the end of one of ours.

A file that somebody wrote by hand is never touched: then the line to add is printed. Imported by commands
when they run, not for their help.
"""

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import typer

from sealcast.cli.given import given_of
from sealcast.config.load import CONFIG_VARIABLE
from sealcast.config.places import FILE_NAME, config_dir, make_dir
from sealcast.core.errors import UsageError
from sealcast.device.files import replace_private, write_private

MARK = "# Sealcast on this machine; `sealcast config show` lists every setting."
"""The first line of the files that we write; to take it out is to keep a file to oneself."""

SECTION_OF = {"operator": "admin", "sender": "sender", "device": "receiver"}


@dataclass(frozen=True, slots=True)
class Named:
    """Whether the configuration names the vault now, and a line about it for people."""

    is_set: bool
    line: str


def is_config_named(context: typer.Context) -> bool:
    """Whether the user named a configuration file, by option or variable."""
    return bool(given_of(context).config or os.environ.get(CONFIG_VARIABLE))


def config_path(context: typer.Context) -> Path:
    """Return the configuration file that this command reads, whether it is there or not."""
    named = given_of(context).config or os.environ.get(CONFIG_VARIABLE)
    return Path.cwd() / named if named else config_dir(os.environ) / FILE_NAME


def beside(path: Path, config: Path) -> str:
    """Return `path` relative to the configuration's folder if it is below it, so that the folder may move."""
    place = Path.cwd() / path
    return str(place.relative_to(config.parent) if place.is_relative_to(config.parent) else place)


def toml_string(text: str) -> str:
    """Return a TOML string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)


def name_credential(config: Path, role: str, vault: Path) -> Named:
    """Have the configuration name a party's vault, if it names none; say what was done, or what to add."""
    section = SECTION_OF.get(role)
    if role == "seller":
        return Named(is_set=False, line=f"its commands take it by --credential {vault}")
    if section is None:
        return Named(is_set=False, line=f"name {vault} in the settings of the {role}'s program")
    setting = f"credential = {toml_string(beside(vault, config))}"
    if not config.exists():
        make_dir(config.parent)
        write_private(config, f"{MARK}\n[{section}]\n{setting}\n".encode())
        return Named(is_set=True, line=f"configuration {config} is new and names it under [{section}]")
    text = _read(config)
    present = _tables(text).get(section)
    if isinstance(present, dict) and config.parent / str(present.get("credential")) == Path.cwd() / vault:
        return Named(is_set=True, line=f"configuration {config} names it under [{section}]")
    longer = f"{text.rstrip()}\n\n[{section}]\n{setting}\n"
    if present is None and text.startswith(MARK) and _tables(longer).get(section):
        replace_private(config.resolve(), longer.encode())
        return Named(is_set=True, line=f"configuration {config} names it now under [{section}]")
    what = "set instead" if isinstance(present, dict) and "credential" in present else "add"
    line = f"to use it without --credential, {what} under [{section}] in {config}: {setting}"
    return Named(is_set=False, line=line)


def _read(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {config}: {error}") from error


def _tables(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
