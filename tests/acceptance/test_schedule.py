"""Programmes at their times through real programs: each under a key of its own, from its first packet on."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.onair import capture
from acceptance.stations import Running, Station
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemClock

GROUP, FILM_GROUP = "239.255.77.41:5004", "239.255.77.43:5004"
BITS_PER_S = 800_000
DATAGRAM_BYTES = 1_316
LATE_S = 9


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Return a station with two channels, whose receivers have two seconds to fetch a key."""
    station = Station(tmp_path, GROUP, "--lifetime", "20s", "--prefetch-at", "2s")
    with station.terminal.key_server():
        station.set_up()
        terminal = station.terminal
        film = ("film", "--group", FILM_GROUP, "--interface", "lo", "--sender", "studio")
        terminal.good("channel", "add", *film)
        terminal.good("subscriber", "add", "film", "tv-1")
        yield station


def now_s() -> float:
    """Return the time since 1970."""
    return SystemClock().wall_ns() / 1e9


def content(folder: Path, name: str, seconds: float) -> bytes:
    """Make a file that lasts so long; return its bytes."""
    data = SimRandom(name).bytes(int(BITS_PER_S * seconds / 8))
    (folder / name).write_bytes(data)
    return data


def row(channel: str, start_s: float, name: str, **more: str) -> str:
    """Return one programme of a schedule, which starts at an instant in seconds since 1970."""
    start = dt.datetime.fromtimestamp(start_s, dt.UTC).isoformat(timespec="milliseconds")
    lines = [f'channel = "{channel}"', f"start = {start}", f'content = "{name}"', f'rate = "{BITS_PER_S}"']
    lines += [f'{key} = "{value}"' for key, value in more.items()]
    return "\n".join(["[[programme]]", *lines, ""])


def packets_of(data: bytes) -> int:
    """Return how many datagrams a file is."""
    return -(-len(data) // DATAGRAM_BYTES)


def test_programmes_follow_one_another_each_under_its_key(station: Station) -> None:
    """Two channels from one process; one programme is missing, one keeps the key, one is joined late."""
    folder = station.folder
    first, second, third = (content(folder, name, 2) for name in ("first.bin", "second.bin", "third.bin"))
    film = content(folder, "film.bin", LATE_S + 31)
    with (
        capture(folder, GROUP) as air,
        station.receiver("--output", "news.out", "--wait") as news,
        station.receiver("--output", "film.out", "--wait", target="film") as cinema,
    ):
        news.wait_for("granted")
        cinema.wait_for("granted")
        base_s = now_s() + 8
        rows = [
            row("news", base_s, "first.bin"),
            row("news", base_s + 3, "second.bin"),
            row("news", base_s + 5.5, "missing.bin"),
            row("news", base_s + 6, "third.bin", change="keep"),
            row("film", base_s - 8 - LATE_S, "film.bin", duration=f"{LATE_S + 8 + 6}s"),
        ]
        (folder / "day.toml").write_text('credential = "studio.vault"\n\n' + "\n".join(rows))
        with station.terminal.running("send", "--schedule", "day.toml", "--json") as process:
            got, seen = news.summary(), cinema.summary()
            sent = Running(process).summary()
    assert (folder / "news.out").read_bytes() == first + second + third
    assert (got["lost"], got["refused"], got["ended_by"]) == (0, 0, "bye")
    shown = {each["content"].rpartition("/")[2]: each for each in sent["programmes"]}
    epochs = {name: each["epoch"] for name, each in shown.items()}
    assert epochs["second.bin"] == epochs["third.bin"] == epochs["first.bin"] + 1
    assert "No such file" in shown["missing.bin"]["why_not"]
    counts = Counter(packet.epoch for packet in air.packets)
    # To the packet: nothing of one programme is under the key of another.
    assert counts == {
        epochs["first.bin"]: packets_of(first),
        epochs["second.bin"]: packets_of(second) + packets_of(third),
    }
    assert abs(air.begins_s(epochs["second.bin"]) - (base_s + 3)) < 1
    rest = (folder / "film.out").read_bytes()
    assert rest
    assert shown["film.bin"]["joined_after_ms"] >= LATE_S * 1_000 - 1
    assert film.find(rest) >= BITS_PER_S // 8 * (LATE_S - 1)
    assert seen["ended_by"] == "bye"


def test_a_schedule_is_checked_without_sending(station: Station) -> None:
    """`--check` prints what is sent when, says what is missing with file and line, and has status 1."""
    content(station.folder, "first.bin", 1)
    soon_s = now_s() + 3_600
    rows = [row("news", soon_s, "first.bin"), row("news", soon_s + 60, "second.bin", lifetime="5m")]
    (station.folder / "day.toml").write_text('zone = "Europe/Berlin"\n' + "\n".join(rows))
    result = station.terminal.run("send", "--schedule", "day.toml", "--check", "--json")
    assert result.status == 1
    told = json.loads(result.out)
    assert [each["content"].rpartition("/")[2] for each in told["programmes"]] == ["first.bin", "second.bin"]
    assert told["programmes"][0]["until"] == told["programmes"][1]["start"]
    assert told["problems"] == [
        "day.toml:8: [[programme]] news: cannot read second.bin: No such file or directory"
    ]
    (station.folder / "second.bin").write_bytes(b"now it is there")
    assert station.terminal.run("send", "--schedule", "day.toml", "--check").status == 0
