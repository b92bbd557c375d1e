"""Shows that the units for systemd are understood by it, shut in well, and name commands that exist."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from cli.terminal import Terminal, new_operator
from sealcast.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
EXPOSURE_MAX = 1.5
"""systemd rates services from 0, shut in, to 10; most of a Debian system stand above 9."""

SIGN_S_MAX = 20


def analyze(*arguments: str) -> str:
    """Run systemd-analyze, which needs no running systemd for this."""
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    """No setting is unknown or contradicts another, once the program stands where the unit says."""
    text = unit.read_text(encoding="utf-8").replace("/opt/sealcast/bin/sealcast", shutil.which("true") or "")
    name = unit.name.replace("@", "@test")
    (tmp_path / name).write_text(re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE))
    assert "sealcast" not in analyze("verify", "--man=no", str(tmp_path / name))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_shut_in(unit: Path, tmp_path: Path) -> None:
    """What a taken-over program could do to its machine is little, by systemd's own measure."""
    name = unit.name.replace("@", "@test")
    shutil.copy(unit, tmp_path / name)
    found = re.search(
        r"exposure level for .*: ([0-9.]+)", analyze("security", "--offline=true", str(tmp_path / name))
    )
    assert found is not None
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_of_ours(unit: Path) -> None:
    """What it starts is a command with the options that it has."""
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    program, command, *rest = shlex.split(line.removeprefix("ExecStart="))
    assert program == "/opt/sealcast/bin/sealcast"
    assert command in {entry.name for entry in COMMANDS}
    options = [part for part in rest if part.startswith("--")]
    words = [command, *(part for part in rest[:1] if not part.startswith("-"))]
    help_text = Terminal(Path.cwd()).good(*words, "--help")
    assert all(option in help_text for option in options)


def test_the_key_server_tells_systemd(tmp_path: Path) -> None:
    """READY comes once it listens, signs of life meanwhile, STOPPING when it is told to end."""
    terminal = new_operator(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SIGN_S_MAX)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with terminal.running("serve", "keyserver", **told) as process:
            heard = [manager.recv(256).decode()]
            while not heard[-1].startswith("READY=1"):
                heard.append(manager.recv(256).decode())
            address = heard[-1].split("https://")[1]
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=5).close()
            while heard[-1] != "WATCHDOG=1":
                heard.append(manager.recv(256).decode())
            os.kill(process.pid, signal.SIGTERM)
            while heard[-1] != "STOPPING=1":
                heard.append(manager.recv(256).decode())
            assert process.wait(10) == 0
