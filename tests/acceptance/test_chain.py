"""Chained keys as an operator uses them: real processes, few questions, restarts and removals."""

import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station

OPTIONS = ("--schedule", "chain", "--lifetime", "1500ms", "--fresh-every", "4500ms", "--cycle", "2")
EPOCHS = 3
"""So many epochs has a chain before its fresh start."""

CHANGES = 6


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station with a short chain: a fresh start each third epoch."""
    made = Station(tmp_path_factory.mktemp("chain"), "239.255.77.21:5004", *OPTIONS, viewers=2)
    with made.terminal.key_server():
        made.set_up()
        yield made


def epochs_on_air(station: Station) -> dict[int, tuple[int | None, int, str]]:
    """Return of each epoch that went on air what it followed, its next fresh start, and its cause."""
    with contextlib.closing(sqlite3.connect(station.folder / "keyserver" / "keyserver.sqlite")) as database:
        rows = database.execute(
            "SELECT epoch, follows, fresh_at, cause FROM epochs WHERE on_air_at_ms IS NOT NULL ORDER BY epoch"
        )
        return {epoch: (follows, fresh_at, cause) for epoch, follows, fresh_at, cause in rows}


def begins_anew(aired: dict[int, tuple[int | None, int, str]], fence_epoch: int) -> bool:
    """Whether the first epoch on air that is not below a fence follows from no other.

    It may be one later than the fence says: a chained key that was on its way to the server at that moment is
    refused, and its epoch left out.
    """
    first = min(epoch for epoch in aired if epoch >= fence_epoch)
    return aired[first][0] is None and first <= fence_epoch + 1


def test_a_change_asks_nobody(station: Station, card: Path) -> None:
    """Over six changes a receiver asks at the start and for fresh starts alone, and loses nothing."""
    with station.receiver("--output", "all.ts") as receiver:
        receiver.wait_for("joined")
        with station.sender("--input", str(card), "--loop") as sender:
            epochs = [sender.wait_for("on air")["epoch"] for _ in range(CHANGES + 1)]
            sender.process.terminate()
            sent, got = sender.summary(), receiver.summary()
    aired = epochs_on_air(station)
    assert (got["packets_opened"], got["lost"], got["refused"]) == (sent["packets"], 0, 0)
    assert got["key_changes"] == sent["key_changes"] == CHANGES
    fresh = [epoch for epoch in epochs if aired[epoch][0] is None]
    assert fresh == [epochs[0], epochs[0] + EPOCHS, epochs[0] + 2 * EPOCHS]
    assert all(aired[epoch][0] == epoch - 1 for epoch in epochs if epoch not in fresh)
    assert got["updates"] >= CHANGES - len(fresh) - 1
    first_pass = card.read_bytes()[: sent["bytes"]]
    assert (station.folder / "all.ts").read_bytes()[: len(first_pass)] == first_pass


def test_a_removed_device_opens_nothing_after_the_fresh_start(station: Station, card: Path) -> None:
    """The next key follows from one that the device has: it is skipped, and a fresh start shuts it out."""
    station.terminal.good("registry", "add", "gone", "--output", "gone.vault")
    station.terminal.good("subscriber", "add", "news", "gone")
    with station.receiver("--output", "stays.ts", viewer=2) as stays:
        stays.wait_for("joined")
        command = ("receive", "news", "--interface", "lo", "--credential", "gone.vault", "--json")
        with station.sender("--input", str(card), "--loop") as sender:
            sender.wait_for("on air")
            with station.terminal.running(*command, "--output", "gone.ts") as gone:
                sender.wait_for("on air")
                done = json.loads(
                    station.terminal.good("subscriber", "remove", "news", "gone", "--now", "--json")
                )
                while sender.wait_for("on air")["epoch"] <= done["fence_epoch"]:
                    pass
                sender.process.terminate()
                sent, got = sender.summary(), stays.summary()
                gone.send_signal(signal.SIGTERM)
                gone.communicate(timeout=30)
    aired = epochs_on_air(station)
    assert done["switched"]
    assert begins_anew(aired, done["fence_epoch"])
    assert (got["packets_opened"], got["lost"], got["refused"]) == (sent["packets"], 0, 0)
    whole, part = ((station.folder / name).read_bytes() for name in ("stays.ts", "gone.ts"))
    begins = whole.find(part)
    assert part
    assert 0 <= begins < begins + len(part) < len(whole) - 500_000


def test_everybody_starts_again_in_mid_chain(station: Station, card: Path) -> None:
    """Sender, key server and receiver are killed one after the other; the stream is whole again each time."""
    film = card.read_bytes()
    with station.receiver("--output", "one.ts") as one:
        one.wait_for("joined")
        with station.sender("--input", str(card), "--loop") as first:
            first.wait_for("on air")
            first.wait_for("on air")
            first.process.kill()
            first.process.wait()
        with station.sender("--input", str(card), "--loop") as second:
            second.wait_for("on air")
            with station.receiver("--output", "two.ts", viewer=2) as two:
                two.wait_for_a_key()
                second.wait_for("on air")
                two.process.kill()
                two.process.wait()
            with station.receiver("--output", "three.ts", viewer=2) as three:
                three.wait_for_a_key()
                second.wait_for("on air")
                second.wait_for("on air")
                second.process.terminate()
                sent, got, late = second.summary(), one.summary(), three.summary()
    assert (got["refused"], late["refused"], late["lost"]) == (0, 0, 0)
    assert (station.folder / "one.ts").read_bytes().endswith(film[: sent["bytes"]][-188 * 1_000 :])
    aired = epochs_on_air(station)
    assert list(aired) == sorted(set(aired))


def test_a_key_server_that_starts_again_in_mid_chain(tmp_path: Path, card: Path) -> None:
    """Killed between two changes, and back: the chain goes on, and a joiner gets link and update."""
    station = Station(tmp_path, "239.255.77.22:5004", *OPTIONS, viewers=2)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(station.terminal.key_server())
        station.set_up()
        receiver = stack.enter_context(station.receiver("--output", "before.ts"))
        receiver.wait_for("joined")
        sender = stack.enter_context(station.sender("--input", str(card), "--loop"))
        sender.wait_for("on air")
        receiver.wait_for_a_key()
        server.kill()
        server.wait()
        stack.enter_context(station.terminal.key_server())
        joiner = stack.enter_context(station.receiver("--output", "after.ts", viewer=2))
        joiner.wait_for_a_key()
        for _ in range(3):
            sender.wait_for("on air")
        sender.process.terminate()
        sent, got, late = sender.summary(), receiver.summary(), joiner.summary()
    assert (got["packets_opened"], got["lost"], got["refused"]) == (sent["packets"], 0, 0)
    assert (late["lost"], late["refused"]) == (0, 0)


def test_a_fresh_start_on_command(station: Station, card: Path) -> None:
    """`channel fresh-start --now` changes keys at once, to one that follows from none; nothing is lost."""
    with station.receiver("--output", "fresh.ts") as receiver:
        receiver.wait_for("joined")
        with station.sender("--input", str(card), "--loop") as sender:
            sender.wait_for("on air")
            began = sender.wait_for("on air")["epoch"]
            time.sleep(0.2)
            done = json.loads(station.terminal.good("channel", "fresh-start", "news", "--now", "--json"))
            while sender.wait_for("on air")["epoch"] <= done["fence_epoch"]:
                pass
            sender.process.terminate()
            sent, got = sender.summary(), receiver.summary()
    aired = epochs_on_air(station)
    assert done["fence_epoch"] > began
    assert begins_anew(aired, done["fence_epoch"])
    assert (got["packets_opened"], got["lost"], got["refused"]) == (sent["packets"], 0, 0)
