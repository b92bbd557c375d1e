"""A scrambled channel from end to end: real processes, as somebody uses them whose receivers know no AES."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.stations import Station

WARNING = "scrambled, not encrypted"
POLICY = ("--suite", "scramble", "--pattern-rule", "inverted", "--pattern-every", "300ms,200p")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station with a scrambled channel whose keys change every two seconds."""
    made = Station(tmp_path_factory.mktemp("scrambled"), "239.255.77.31:5004", "--lifetime", "2s", *POLICY)
    with made.terminal.key_server():
        made.set_up()
        yield made


def test_a_film_arrives_byte_for_byte(station: Station, card: Path) -> None:
    """Over two key changes and many of the pattern nothing is lost; both ends are told what it is worth."""
    with station.receiver("--output", "out.ts") as receiver:
        receiver.wait_for("joined")
        with station.sender("--input", str(card), "--seconds", "6") as sender:
            sender.wait_for(WARNING)
            sent = sender.summary()
        got = receiver.summary()
    assert any(WARNING in str(entry["event"]) for entry in receiver.log)
    out = (station.folder / "out.ts").read_bytes()
    assert card.read_bytes().startswith(out)
    assert got["packets_opened"] == sent["packets"] > 3_000
    assert (got["lost"], got["refused"]) == (0, 0)
    assert got["key_changes"] >= 2
