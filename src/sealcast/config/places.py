"""Owns where things stand on a machine: the configuration file, a program's state, the agent's socket.

| | as root | otherwise |
|---|---|---|
| configuration | /etc/sealcast/sealcast.toml | $XDG_CONFIG_HOME/sealcast/sealcast.toml |
| state | /var/lib/sealcast | $XDG_STATE_HOME/sealcast |
| device agent's socket | /run/sealcast/agent.sock | $XDG_RUNTIME_DIR/sealcast/agent.sock |
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from sealcast.core.errors import UsageError

FILE_NAME = "sealcast.toml"
ROOT_CONFIG_DIR = Path("/etc/sealcast")
ROOT_STATE_DIR = Path("/var/lib/sealcast")
ROOT_RUNTIME_DIR = Path("/run/sealcast")
SOCKET_NAME = "agent.sock"
SOCKET_VARIABLE = "SEALCAST_AGENT"
PRIVATE_DIR_MODE = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def config_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder of the configuration file."""
    return _place(environment, ROOT_CONFIG_DIR, "XDG_CONFIG_HOME", ".config")


def state_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder under which each program keeps its state."""
    return _place(environment, ROOT_STATE_DIR, "XDG_STATE_HOME", ".local/state")


def agent_socket(environment: Mapping[str, str], given: str | None = None) -> Path:
    """Return where the device agent listens: `given`, else $SEALCAST_AGENT, else the place in the table.

    Raises UsageError where there is no such place.
    """
    named = given or environment.get(SOCKET_VARIABLE)
    if named:
        return Path.cwd() / named
    if os.geteuid() == 0:
        return ROOT_RUNTIME_DIR / SOCKET_NAME
    base = environment.get("XDG_RUNTIME_DIR", "")
    if not Path(base).is_absolute():
        raise UsageError(
            "there is no XDG_RUNTIME_DIR for the device agent's socket: name one with --agent SOCKET,"
            f" or {SOCKET_VARIABLE}"
        )
    return Path(base) / "sealcast" / SOCKET_NAME


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
