"""A scrambled channel from end to end: real processes, as somebody uses them whose receivers know no AES."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station, eventually

WARNING = "scrambled, not encrypted"
POLICY = ("--suite", "scramble", "--pattern-rule", "two-times", "--pattern-every", "300ms,200p")
CHAIN = ("--schedule", "chain", "--fresh-every", "3s", "--lifetime", "1s")
TS_BYTES = 188


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station with a scrambled channel whose keys are chained, and change every second."""
    made = Station(tmp_path_factory.mktemp("scrambled"), "239.255.77.31:5004", *CHAIN, *POLICY)
    with made.terminal.key_server():
        made.set_up()
        yield made


def test_a_film_arrives_byte_for_byte(station: Station, card: Path) -> None:
    """Over changes of patterns and keys, fresh starts, and a sender that is killed and starts again.

    Nothing that was sent is lost; both ends are told what it is worth.
    """
    out = station.folder / "out.ts"
    with station.receiver("--output", "out.ts", "--reorder-ms", "100") as receiver:
        receiver.wait_for("joined")
        with station.sender("--input", str(card)) as sender:
            sender.wait_for(WARNING)
            sender.wait_for("on air")
            sender.wait_for("on air")
            sender.wait_for("on air")
            time.sleep(0.3)
            sender.process.send_signal(signal.SIGKILL)
            sender.process.wait()
        # What came so far is written; the next run begins behind it.
        before = settled(out)
        with station.sender("--input", str(card), "--seconds", "2") as sender:
            sent = sender.summary()
        got = receiver.summary()
    assert any(WARNING in str(entry["event"]) for entry in receiver.log)
    film, whole = card.read_bytes(), out.read_bytes()
    assert film.startswith(whole[:before])
    assert film.startswith(whole[before:])
    assert before > TS_BYTES * 5_000
    assert len(whole) - before == sent["bytes"]
    assert (got["lost"], got["refused"]) == (0, 0)
    assert got["key_changes"] >= 4


def settled(path: Path) -> int:
    """Wait until a file has stopped growing; return how long it is."""
    sizes = [-1]

    def is_still() -> bool:
        time.sleep(0.2)
        sizes.append(path.stat().st_size)
        return sizes[-1] == sizes[-2]

    eventually(is_still)
    return sizes[-1]
