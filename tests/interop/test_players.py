"""ffplay, VLC, GStreamer and ffmpeg play what a receiver gives out, with the lines of docs/players.md."""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station, eventually
from interop.players import LivingRoom, is_receiver, player_of, sections
from sealcast.demo.testcard import make_testcard

pytestmark = pytest.mark.players

ENOUGH_PICTURES = 60
"""More than two seconds: with a key for two, at least one change happens while the player plays."""

PICTURES_S = 60
"""A receiver, a coder and a player that start at once on two busy cores need a while to the first picture."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station that is on the air with a test card, a key for each two seconds."""
    card = tmp_path_factory.mktemp("card") / "card.ts"
    make_testcard(card, 6)
    made = Station(tmp_path_factory.mktemp("station"), "239.255.78.1:5004", "--lifetime", "2s")
    with made.terminal.key_server():
        made.set_up()
        with made.sender("--input", str(card), "--loop") as sender:
            sender.wait_for("on air")
            yield made


@pytest.fixture
def room(station: Station) -> Iterator[LivingRoom]:
    """Return a place to run command lines, configured for the station's viewer."""
    settings = {
        "SEALCAST_RECEIVER_INTERFACE": "lo",
        "SEALCAST_RECEIVER_CREDENTIAL": str(station.folder / "tv-1.vault"),
        "SEALCAST_LOGGING_LEVEL": "info",
    }
    # Pytest's own folders are closed to other users, and VLC runs as one.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = LivingRoom(Path(folder), {**station.terminal.environment, **settings})
        try:
            yield made
        finally:
            made.leave()


@contextlib.contextmanager
def held_open(pipe: Path) -> Iterator[None]:
    """Hold a named pipe open for reading, so that it does not matter who of its two ends is quicker."""
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield
    finally:
        os.close(reader)


def on_loopback(line: str, port: int) -> str:
    """Return a line of the page with loopback's addresses and a free port in place of its own."""
    for there, here in (("192.0.2.50", "127.0.0.1"), ("eth0", "lo"), ("1234", str(port))):
        line = line.replace(there, here)
    return line


def free_udp_port() -> int:
    """Return a UDP port that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("heading", sections())
def test_a_player_plays(heading: str, room: LivingRoom) -> None:
    """The lines under a heading show pictures across a key change, and end well."""
    port = free_udp_port()
    lines = [on_loopback(line, port) for line in sections()[heading]]
    (player,) = filter(None, map(player_of, lines))
    with contextlib.ExitStack() as pipes:
        for line in lines:
            if is_receiver(line) or player_of(line):
                room.start(line)
            else:
                subprocess.run(["/bin/sh", "-c", line], cwd=room.folder, check=True)
                pipes.enter_context(held_open(room.folder / line.split()[1]))
        eventually(lambda: room.pictures(player) >= ENOUGH_PICTURES, PICTURES_S)
    room.close_players()
    by_udp = any("udp://" in line for line in lines)
    if by_udp:
        room.stop_receivers()
    room.wait()
    printed = room.printed()
    ended_by = "stopped" if by_udp else "output closed"
    assert re.search(rf" key changes, reception .*; {ended_by}$", printed, re.MULTILINE), printed
    assert " 0 key changes" not in printed


def test_the_page_names_the_three_players() -> None:
    """Pipe and UDP, ffplay, VLC and GStreamer each have a line, and each heading has one receiver."""
    lines = sections()
    assert lines["ffplay"] == ["sealcast receive news --output - | ffplay -"]
    for heading, player in (("VLC", "cvlc"), ("GStreamer", "gst-launch-1.0")):
        assert lines[heading][0] == "sealcast receive news --output udp://127.0.0.1:1234"
        assert player_of(lines[heading][1]) == player
    for each in lines.values():
        assert sum(map(is_receiver, each)) == 1
