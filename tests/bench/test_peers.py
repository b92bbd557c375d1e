"""The peers of `bench dataplane`: what is installed does the work, what is not is left out with a word."""

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest

from sealcast.bench import ffmpeg, gstreamer, peers
from sealcast.bench.processes import cpu_seconds
from sealcast.core.errors import LocalError
from sealcast.transport.system import SystemClock, SystemRandom

OURS_US = {"floor": 1.0, "seal_send": 2.0, "receive_open": 2.0}


def loopback_packets() -> int:
    """Return how many packets loopback has carried."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.strip().startswith("lo:"))


def test_the_time_is_that_of_the_program() -> None:
    """A program that computes has taken time, one that sleeps has not, and what fails says so."""
    busy = "n = 0\nfor i in range(4_000_000): n += i"
    assert cpu_seconds([sys.executable, "-S", "-c", busy]) > cpu_seconds(["sleep", "0.3"])
    with pytest.raises(LocalError, match="status 3"):
        cpu_seconds(["sh", "-c", "exit 3"])


def test_what_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that does not end is killed and left out, not waited for."""
    monkeypatch.setattr("sealcast.bench.processes.RUN_S_MAX", 0.2)
    with pytest.raises(LocalError, match="still runs"):
        cpu_seconds(["sleep", "30"])


def test_absent_peers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of the programs there are no figures, and a note for each."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    found = peers.measure_peers(OURS_US, SystemClock(), SystemRandom())
    assert found.peers == {}
    assert set(found.notes) == {"gstreamer-srtpenc", "gstreamer-srtpdec", "ffmpeg-srtp", "uftp", "openssl"}
    assert all("not installed" in note for note in found.notes.values())


@pytest.mark.players
def test_peers_handle_as_many_packets_as_asked(tmp_path: Path) -> None:
    """`srtpenc` and ffmpeg put that many packets on the wire."""
    count = 2_000
    for run in (lambda: gstreamer.seal(count, SystemRandom()), lambda: ffmpeg.seal(count, tmp_path)):
        before = loopback_packets()
        assert run() > 0
        assert loopback_packets() - before >= count


@pytest.mark.players
def test_srtpdec_really_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the peer is fed verifies: each payload that it is given comes out of it."""
    count = 500
    monkeypatch.setattr(
        gstreamer, "DECODED", f"udpsink host=127.0.0.1 port={gstreamer.PORT + 2} sync=false async=false"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        listener.bind(("127.0.0.1", gstreamer.PORT + 2))
        listener.settimeout(1.0)
        gstreamer.open_packets(count, SystemRandom(), SystemClock())
        sizes = {len(listener.recv(65_535)) for _ in range(count)}
    assert sizes == {1316 + 12}


def test_openssl_gives_a_figure() -> None:
    """Where it is installed, the peer `openssl` is there with a ratio to our floor."""
    if shutil.which("openssl") is None:
        pytest.fail("tests need openssl, which every Debian has")
    measured = peers._PEERS["openssl"]
    found = peers.PeerFigures({}, {})
    peers._add(found, "openssl", measured, 1.0, None)  # type: ignore[arg-type]
    assert found.peers["openssl"].us > 0
    assert json.dumps(found.peers["openssl"].ratio)
