"""A subscription ends while a copy of the device goes on: real processes, its owner's and a thief's."""

import json
import shutil
import time
from pathlib import Path

import pytest

from acceptance.stations import Station, eventually
from cli.terminal import Terminal

LIFETIME_S = 3
LATE_S = 0.5
"""Packets that were sealed before a change are opened by then."""

CHATTY = {"SEALCAST_LOGGING_LEVEL": "debug"}
"""Tells when its stream of events is open."""


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Return a station whose keys change every few seconds."""
    (tmp_path / "operator").mkdir()
    times = ("--lifetime", f"{LIFETIME_S}s", "--publish-at", "75%", "--prefetch-at", "60%")
    return Station(tmp_path / "operator", "239.255.66.9:5004", *times)


def stolen(station: Station, folder: Path) -> Terminal:
    """Copy the files of the station's device to another machine."""
    folder.mkdir()
    for name in ("tv-1.vault", "tv-1.key"):
        shutil.copy2(station.folder / name, folder / name)
    (folder / "sealcast.toml").touch()
    return Terminal(folder, SEALCAST_LOGGING_LEVEL="info")


def keys_in(log: Path) -> list[str]:
    """Return the identifiers of the keys that a receiver was granted, as its log has them."""
    entries = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [key for entry in entries if entry["event"] == "granted" for key in entry["keys"]]


def epoch_of(key: str) -> int:
    """Return the epoch of a key: the second half of its identifier."""
    return int(key[8:], 16)


def test_a_copy_of_a_device_that_withdrew_runs_dry(station: Station, card: Path, tmp_path: Path) -> None:
    """A copy of the vault that receives already opens nothing after the next keys, and is let in no more."""
    receive = ("receive", "news", "--interface", "lo", "--credential", "tv-1.vault", "--json")
    with station.terminal.key_server():
        station.set_up()
        station.terminal.good("channel", "open", "news")
        copy = stolen(station, tmp_path / "copy")
        out = copy.folder / "out.ts"
        log = copy.folder / "receive.log"
        with station.sender("--input", str(card), "--loop") as sender:
            sender.wait_for("on air")
            with copy.running(*receive, "--output", "out.ts", stdout=log, stderr=log, **CHATTY):
                eventually(lambda: out.exists() and out.stat().st_size > 0)
                eventually(lambda: "events are pushed to us" in log.read_text())
                command = ("withdraw", "news", "--credential", "tv-1.vault", "--json")
                (done,) = json.loads(station.terminal.good(*command))["withdrawn"]
                assert (done["channels"], done["keys_destroyed"]) == (["news"], True)
                # It may have the next key by now, and gets no other.
                last = max(epoch_of(key) for key in keys_in(log))
                while sender.wait_for("on air")["epoch"] <= last:
                    pass
                time.sleep(LATE_S)
                dry = out.stat().st_size
                sender.wait_for("on air")
                assert out.stat().st_size == dry, log.read_text()
                assert '"kind": "ended"' in log.read_text(), "its stream of events has ended"
                assert max(epoch_of(key) for key in keys_in(log)) == last
            again = copy.run(*receive, "--output", "more.ts", SEALCAST_LOGGING_LEVEL="error")
            assert (again.status, "not subscribed" in again.complaint) == (4, True)
            subscribe = ("subscribe", "news", "--user", "A Thief", "--credential", "tv-1.vault")
            refused = copy.run(*subscribe, SEALCAST_LOGGING_LEVEL="error")
            assert (refused.status, "its keys are destroyed" in refused.complaint) == (4, True)
        assert json.loads(station.terminal.good("receptions", "--json"))["live"] == 0
