"""Owns where things stand on a machine: the configuration file and the folder of a program's state.

| | as root | otherwise |
|---|---|---|
| configuration | /etc/sealcast/sealcast.toml | $XDG_CONFIG_HOME/sealcast/sealcast.toml |
| state | /var/lib/sealcast | $XDG_STATE_HOME/sealcast |
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from sealcast.core.errors import UsageError

FILE_NAME = "sealcast.toml"
ROOT_CONFIG_DIR = Path("/etc/sealcast")
ROOT_STATE_DIR = Path("/var/lib/sealcast")
PRIVATE_DIR_MODE = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def config_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder of the configuration file."""
    return _place(environment, ROOT_CONFIG_DIR, "XDG_CONFIG_HOME", ".config")


def state_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder under which each program keeps its state."""
    return _place(environment, ROOT_STATE_DIR, "XDG_STATE_HOME", ".local/state")


def make_dir(path: Path) -> Path:
    """Make `path` a folder of mode 0700 if it is absent; raises UsageError where that cannot be."""
    try:
        path.mkdir(mode=PRIVATE_DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot use the folder {path}: {error.strerror}") from error
    return path


def private_dir(path: Path) -> Path:
    """Do as `make_dir`; raises UsageError also if others can read the folder that is there."""
    if make_dir(path).stat().st_mode & OTHERS:
        raise UsageError(f"{path} can be read by others: chmod 700 {path}")
    return path


def _place(environment: Mapping[str, str], root: Path, variable: str, fallback: str) -> Path:
    """Return root's place, or the user's as the XDG Base Directory Specification says."""
    if os.geteuid() == 0:
        return root
    base = environment.get(variable, "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / fallback) / "sealcast"
