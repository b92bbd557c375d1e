"""`doctor` and `probe` as commands: forms of output, statuses, mistakes and Ctrl-C."""

import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from acceptance.stations import eventually
from cli.terminal import Terminal, Typist

GROUP = "239.255.250.9"
UNUSED = f"{GROUP}:5004"
UNUSED_AS_LISTED = f"{int.from_bytes(socket.inet_aton(GROUP), sys.byteorder):08X}"
"""The group as /proc/net/igmp writes it."""


def test_doctor_prints_lines_or_json(tmp_path: Path, type_at: Typist) -> None:
    """Off a terminal each finding is a line that begins with its result; --json gives the same as a list."""
    terminal = Terminal(tmp_path, SEALCAST_CONFIG="")
    options = ("--interface", "lo", "--wait", "0.5")
    lines = type_at(terminal, "doctor", *options)
    results = {line.split()[0] for line in lines.out.splitlines()}
    assert results <= {"ok", "warn", "fail"}
    assert lines.status == int("fail" in results), lines.out + lines.err
    findings = json.loads(type_at(terminal, "doctor", *options, "--json").out)
    assert all(set(finding) == {"check", "result", "detail", "advice"} for finding in findings)
    assert len(findings) == len(lines.out.splitlines())
    assert all(finding["advice"] for finding in findings if finding["result"] != "ok")


def test_doctor_reports_a_broken_configuration(tmp_path: Path, type_at: Typist) -> None:
    """A configuration that does not fit is a finding, and the other checks still run."""
    (tmp_path / "sealcast.toml").write_text("[receiver]\nnonsense = 1\n")
    result = type_at(Terminal(tmp_path), "doctor", "--interface", "lo", "--wait", "0.5")
    assert result.status == 1
    assert "sealcast.toml:2: [receiver] nonsense: no such key" in result.out
    assert "ok   IGMP querier: lo needs none" in result.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("probe", "10.0.0.1:5004"), "is not a multicast group"),
        (("probe", "239.1.2.3"), "no port"),
        (("probe", "10.0.0.1@232.1.2.3:5004", "--source", "10.0.0.2"), "names a source already"),
        (("probe", "232.1.2.3:5004", "--interface", "lo"), "is source-specific"),
        (("probe", UNUSED, "--interface", "nosuch0"), "there is no interface"),
        (("doctor", "10.0.0.1:5004"), "is not a multicast group"),
    ],
)
def test_mistakes(tmp_path: Path, type_at: Typist, arguments: tuple[str, ...], complaint: str) -> None:
    """What cannot be examined is a usage error in one line."""
    result = type_at(Terminal(tmp_path, SEALCAST_CONFIG=""), *arguments)
    assert result.status == 2
    assert complaint in result.complaint


def test_ctrl_c_ends_a_probe_with_its_summary(tmp_path: Path) -> None:
    """An interrupted probe tells what it heard; with nothing heard the status is 1, as at its own end."""
    terminal = Terminal(tmp_path, SEALCAST_CONFIG="")
    with terminal.running("probe", UNUSED, "--interface", "lo", "--for", "600", "--json") as process:
        eventually(lambda: UNUSED_AS_LISTED in Path("/proc/net/igmp").read_text(encoding="ascii"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    report = json.loads(out)
    assert (report["packets"], report["protection"], report["verified"]) == (0, "nothing heard", False)


def test_ctrl_c_ends_the_doctor(tmp_path: Path) -> None:
    """An interrupted examination ends at once with status 130."""
    terminal = Terminal(tmp_path, SEALCAST_CONFIG="")
    command = ("doctor", UNUSED, "--interface", "lo", "--wait", "600")
    with terminal.running(*command) as process:
        eventually(lambda: UNUSED_AS_LISTED in Path("/proc/net/igmp").read_text(encoding="ascii"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
