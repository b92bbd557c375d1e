"""Shows that whoever was let in receives, whatever keys it has and however wrong its clock is."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Running
from cli.terminal import Terminal, new_operator
from device.softhsm import PIN, VARIABLE, make_token
from sealcast.device.files import write_private

SERVER = Path(__file__).with_name("skewed_server.py")
SKEW_S = 180
SENT_BYTES = 1316 * 1_000


@contextlib.contextmanager
def skewed_key_server(operator: Terminal, off_s: int) -> Iterator[None]:
    """Run an operator's key server with a clock that is off."""
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(operator.folder), str(off_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("https://"), process.stderr.read() if process.stderr else line
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def let_in(operator: Terminal, folder: Path, keys: str) -> Terminal:
    """Let a viewer's machine in, with its own folder and keys of a kind; return a terminal there."""
    folder.mkdir()
    viewer = Terminal(folder, SEALCAST_LOGGING_LEVEL="info", SEALCAST_PIN_FILE=str(folder / "pin"))
    if keys == "token":
        uri = make_token(folder / "softhsm", "TV")
        viewer.environment[VARIABLE] = str(folder / "softhsm" / "softhsm2.conf")
        write_private(folder / "pin", PIN.encode() + b"\n")
        line = operator.good("registry", "invite", "--channel", "news").split()[-1]
        viewer.good("enrol", line, "--pkcs11", uri)
    elif keys == "known beforehand":
        operator.good("registry", "add", "TV-9", "--channel", "news", "--output", "TV-9.vault")
        for name in ("TV-9.vault", "TV-9.key"):
            (operator.folder / name).rename(folder / name)
        (folder / "sealcast.toml").write_text('[receiver]\ncredential = "TV-9.vault"\n')
    else:
        line = operator.good("registry", "invite", "--channel", "news").split()[-1]
        viewer.good("enrol", line, "--keys", keys)
    return viewer


@pytest.mark.parametrize(
    ("off_s", "group", "kinds"),
    [
        (SKEW_S, "239.255.61.1:5004", ("ed25519", "token", "p256", "known beforehand")),
        (-SKEW_S, "239.255.61.2:5004", ("rsa", "symmetric")),
    ],
    ids=["three minutes slow", "three minutes fast"],
)
def test_every_kind_of_device_receives(
    tmp_path: Path, off_s: int, group: str, kinds: tuple[str, ...]
) -> None:
    """Devices of each kind get a whole stream, three minutes off the key server's clock."""
    (tmp_path / "operator").mkdir()
    operator = new_operator(tmp_path / "operator")
    data = bytes(range(256)) * (SENT_BYTES // 256)
    (operator.folder / "in.bin").write_bytes(data)
    with skewed_key_server(operator, off_s), contextlib.ExitStack() as receiving:
        operator.good(
            "channel", "add", "news", "--group", group, "--interface", "lo", "--new-sender", "studio"
        )
        viewers = [let_in(operator, tmp_path / kind, kind) for kind in kinds]
        command = ("receive", "news", "--output", "out.bin", "--interface", "lo", "--json")
        receivers = [Running(receiving.enter_context(viewer.running(*command))) for viewer in viewers]
        for receiver in receivers:
            receiver.wait_for("joined")
        sent = json.loads(operator.good("send", "news", "--input", "in.bin", "--rate", "4M", "--json"))
        summaries = [receiver.summary() for receiver in receivers]
    for viewer, summary in zip(viewers, summaries, strict=True):
        assert summary["packets_opened"] == sent["packets"]
        assert (viewer.folder / "out.bin").read_bytes() == data
