"""What happens when the key server goes away (S1-6): the stream goes on, and nothing is lost."""

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.stations import Station


@pytest.fixture
def new_station(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Station]:
    """Return a maker of stations whose key server does not run yet, with keys made by whom it is told."""

    def make(keys: str) -> Station:
        folder = tmp_path_factory.mktemp("away")
        return Station(folder, "239.255.77.5:5004", "--lifetime", "1500ms", "--keys", keys)

    return make


@pytest.mark.parametrize("keys", ["sender", "keyserver"])
def test_an_epoch_is_extended_and_the_change_made_up_for(
    new_station: Callable[[str], Station], keys: str, card: Path
) -> None:
    """The key server is killed for two lifetimes: the sender says so and goes on; back again, keys change."""
    station = new_station(keys)
    with station.terminal.key_server() as server:
        station.set_up()
        with station.receiver("--output", "away.ts") as receiver:
            receiver.wait_for("joined")
            with station.sender("--input", str(card), "--loop") as sender:
                receiver.wait_for_a_key()
                time.sleep(1.0)
                server.send_signal(signal.SIGKILL)
                extended = sender.wait_for("epoch extended")
                time.sleep(3.0)
                with station.terminal.key_server():
                    sender.wait_for("no longer extended")
                    changed = [sender.wait_for("on air")["epoch"] for _ in range(2)]
                    sender.process.terminate()
                    sent, got = sender.summary(), receiver.summary()
    assert changed == [extended["epoch"] + 1, extended["epoch"] + 2]
    assert got["packets_opened"] == sent["packets"]
    assert (got["lost"], got["refused"]) == (0, 0)
    assert got["key_changes"] == sent["key_changes"]
    first_pass = card.read_bytes()[: sent["bytes"]]
    assert (station.folder / "away.ts").read_bytes()[: len(first_pass)] == first_pass


def test_a_killed_sender_starts_again_under_the_next_epoch(
    new_station: Callable[[str], Station], card: Path
) -> None:
    """After kill -9 a start takes a fresh SSRC and a fresh epoch, and the receiver follows it."""
    station = new_station("keyserver")
    with station.terminal.key_server():
        station.set_up()
        with station.receiver("--output", "again.ts") as receiver:
            receiver.wait_for("joined")
            with station.sender("--input", str(card)) as first:
                first.wait_for("on air")
                receiver.wait_for_a_key()
                time.sleep(2.5)
                first.process.kill()
                first.process.wait()
            before = (station.folder / "again.ts").stat().st_size
            with station.sender("--input", str(card), "--seconds", "3") as second:
                sent, got = second.summary(), receiver.summary()
    assert before > 0
    assert got["ended_by"] == "bye"
    assert got["refused"] == 0
    data = (station.folder / "again.ts").read_bytes()
    film = card.read_bytes()
    assert data.endswith(film[: sent["bytes"]])
    assert epochs_on_air(station) == sorted(set(epochs_on_air(station)))


def test_a_sender_without_slots_and_without_key_server_says_so(
    new_station: Callable[[str], Station], card: Path
) -> None:
    """The first start needs a key server: without one it ends with status 3 and one line."""
    station = new_station("sender")
    with station.terminal.key_server() as server:
        station.set_up()
        server.terminate()
        server.wait(10)
    command = ("send", "news", "--credential", "studio.vault", "--input", str(card))
    result = station.terminal.run(*command, SEALCAST_LOGGING_LEVEL="error")
    assert result.status == 3
    assert "no run slot is left" in result.complaint


def epochs_on_air(station: Station) -> list[int]:
    """Return the epochs that were on air, in the order they came."""
    database = station.folder / "keyserver" / "keyserver.sqlite"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT epoch FROM epochs WHERE on_air_at_ms IS NOT NULL ORDER BY on_air_at_ms"
        )
        return [epoch for (epoch,) in rows]
