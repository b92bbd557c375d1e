"""A device is removed while it watches: real processes, sockets, TLS and database, as an operator does it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station

W_S = 2.0
"""The window that an audience of two gets."""

PUBLISHED_S = 3.0
"""Long after the next key was published, 1.2 s into the epoch on air."""

SLACK_S = 6.0
"""What two loaded cores may add; without load the command takes less than half a second beside W."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station whose next key is published early: who joins after that is given it at once."""
    options = ("--lifetime", "60s", "--publish-at", "98%", "--prefetch-at", "97%")
    made = Station(tmp_path_factory.mktemp("removal"), "239.255.77.9:5004", *options, viewers=2)
    with made.terminal.key_server():
        made.set_up()
        yield made


def test_removed_now(station: Station, card: Path) -> None:
    """The command waits for the switch; the removed device, which has the next key, opens nothing then."""
    with station.receiver("--output", "stays.ts", viewer=1) as stays:
        stays.wait_for("joined")
        with station.sender("--input", str(card), "--loop") as sender:
            first = sender.wait_for("on air")["epoch"]
            time.sleep(PUBLISHED_S)
            with station.receiver("--output", "gone.ts", viewer=2) as gone:
                gone.wait_for_a_key()
                options = ("subscriber", "remove", "news", "tv-2", "--now", "--json")
                done = json.loads(station.terminal.good(*options))
                second = sender.wait_for("on air")["epoch"]
                time.sleep(1.0)
                sender.process.terminate()
                sent, got = sender.summary(), stays.summary()
                gone.process.terminate()
                gone.process.communicate(timeout=30)
    print(f"command to switch: {done['took_ms'] / 1000:.2f} s, W = {W_S} s")
    assert (done["on_air"], done["skipped"], done["fence_epoch"]) == (first, [first + 1], second)
    assert (second, done["switched"]) == (first + 2, True)
    assert W_S * 1000 <= done["took_ms"] <= (W_S + SLACK_S) * 1000
    assert (got["packets_opened"], got["lost"], got["refused"]) == (sent["packets"], 0, 0)
    assert got["key_changes"] == 1
    whole, part = ((station.folder / name).read_bytes() for name in ("stays.ts", "gone.ts"))
    begins = whole.find(part)
    assert begins > 0
    assert len(part) > 0
    # A second of eight megabits was sent after the switch, and more.
    assert begins + len(part) < len(whole) - 500_000


def test_removed_while_nothing_is_on_air(station: Station) -> None:
    """The removal stands, and the command says that there were no keys to change."""
    result = station.terminal.run("subscriber", "remove", "news", "tv-1", "--now")
    assert result.status == 1
    assert "nothing is on air on news, so no keys were changed; the removal stands" in result.complaint
    assert "tv-1 may no longer receive news" in result.out
    listed = json.loads(station.terminal.good("subscriber", "list", "news", "--json"))
    assert [row["device"] for row in listed["subscribers"]] == []
