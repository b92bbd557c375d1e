"""A fast stream through real processes: nothing is lost, digests are equal, keys change on the way."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acceptance.stations import Station

PIECE = 64 * 1316 * 188
"""Bytes of the file that goes round: whole datagrams, 16 MB, and in memory after its first round."""


@dataclass(frozen=True)
class Pace:
    """How fast and how long, and how long a key lasts."""

    rate: str
    seconds: int
    lifetime: str
    bits: int
    key_changes: int


SHORT = Pace("200M", 7, "2s", 200_000_000, 1)
"""A receiver that waits for a stream asks for its key within 4 s of its beginning."""

LONG = Pace("2G", 30, "8s", 2_000_000_000, 3)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Return a file whose every datagram is another."""
    path = tmp_path / "content.bin"
    path.write_bytes(
        b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(PIECE // 32))
    )
    return path


@pytest.fixture
def station(tmp_path: Path, pace: Pace) -> Iterator[Station]:
    """Return a station whose keys last as long as the pace says."""
    made = Station(tmp_path, "239.255.77.9:5004", "--lifetime", pace.lifetime)
    with made.terminal.key_server():
        made.set_up()
        yield made


def digest_of(path: Path, first_byte: int, size_bytes: int) -> str:
    """Return the digest of so many bytes of a file that goes round, from one of them on."""
    piece, digest = path.read_bytes(), hashlib.sha256()
    at, left = first_byte % len(piece), size_bytes
    while left:
        taken = piece[at : at + left]
        digest.update(taken)
        at, left = 0, left - len(taken)
    return digest.hexdigest()


def tell(who: str, summary: dict[str, Any]) -> None:
    """Print what a run with -s wants to see."""
    fields = (
        "packets",
        "on_time",
        "late_ms_max",
        "packets_opened",
        "dropped",
        "lost",
        "kernel_drops",
        "key_changes",
    )
    print(who, {field: summary[field] for field in fields if field in summary})


@pytest.mark.parametrize(
    "pace", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=lambda pace: pace.rate
)
def test_nothing_is_lost(station: Station, content: Path, pace: Pace) -> None:
    """Every packet from the first that a key came in time for arrives, across key changes, bit for bit."""
    with station.receiver("--output", "/dev/null") as receiver:
        receiver.wait_for("joined")
        arguments = ("--input", str(content), "--loop", "--rate", pace.rate, "--seconds", str(pace.seconds))
        with station.sender(*arguments) as sender:
            sent = sender.summary()
        got = receiver.summary()
    tell("sender", sent)
    tell("receiver", got)
    assert (sent["ended_by"], got["ended_by"], sent["unsent"]) == ("time over", "bye", 0)
    assert (got["lost"], got["switch_lost"], got["refused"], got["kernel_drops"]) == (0, 0, 0, 0)
    assert got["key_changes"] >= pace.key_changes
    # What came before the first key, and found no more room to wait for it, was never the receiver's.
    before = sent["packets"] - got["packets_opened"]
    assert 0 <= before <= got["dropped"]
    assert (got["bytes_written"], got["bytes_dropped"]) == (sent["bytes"] - before * 1316, 0)
    assert got["sha256"] == digest_of(content, before * 1316, got["bytes_written"])
    assert sent["bytes"] >= pace.bits * pace.seconds // 8 * 0.9
