"""A fast stream through real processes: nothing is lost, digests are equal, keys change on the way."""

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acceptance.stations import WAIT_S, Running, Station

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


MEMORY = "/dev/shm"  # noqa: S108 - a disk would be part of what is measured
DIGEST_BYTES = 1 << 20

SHORT = Pace("200M", 7, "2s", 200_000_000, 1)
"""A receiver that waits for a stream asks for its key within 4 s of its beginning."""

LONG = Pace("1500M", 30, "6s", 1_500_000_000, 3)


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


def send(station: Station, content: Path, pace: Pace) -> dict[str, Any]:
    """Send the file, round and round, at that rate for that time; return the summary."""
    arguments = ("--input", str(content), "--loop", "--rate", pace.rate, "--seconds", str(pace.seconds))
    with station.sender(*arguments) as sender:
        sent = sender.summary()
    tell("sender", sent)
    assert (sent["ended_by"], sent["unsent"]) == ("time over", 0)
    assert sent["bytes"] >= pace.bits * pace.seconds // 8 * 0.9
    return sent


@contextlib.contextmanager
def recording_place(size_bytes: int) -> Iterator[Path]:
    """Give a file in memory; it needs as much of it."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="sealcast-") as folder:
        assert shutil.disk_usage(folder).free > size_bytes, f"{MEMORY} needs {size_bytes >> 20} MiB"
        yield Path(folder) / "recording"


def digest_of(path: Path, first_byte: int, size_bytes: int) -> str:
    """Return the digest of so many bytes of a file that goes round, from one of them on."""
    digest, left = hashlib.sha256(), size_bytes
    with path.open("rb") as file:
        file.seek(first_byte % path.stat().st_size)
        while left:
            piece = file.read(min(left, DIGEST_BYTES))
            if not piece:
                file.seek(0)
            digest.update(piece)
            left -= len(piece)
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


@pytest.mark.parametrize("pace", [SHORT], ids=lambda pace: pace.rate)
def test_nothing_is_lost(station: Station, content: Path, pace: Pace) -> None:
    """Every packet from the first that a key came in time for arrives, across key changes, bit for bit."""
    with station.receiver("--output", "/dev/null") as receiver:
        receiver.wait_for("joined")
        sent = send(station, content, pace)
        got = receiver.summary()
    tell("receiver", got)
    assert (got["ended_by"], got["bytes_dropped"]) == ("bye", 0)
    assert (got["lost"], got["switch_lost"], got["refused"], got["kernel_drops"]) == (0, 0, 0, 0)
    assert got["key_changes"] >= pace.key_changes
    # What came before the first key, and found no more room to wait for it, was never the receiver's.
    before = sent["packets"] - got["packets_opened"]
    assert 0 <= before <= got["dropped"]
    assert got["bytes_written"] == sent["bytes"] - before * 1316
    assert got["sha256"] == digest_of(content, before * 1316, got["bytes_written"])


@pytest.mark.soak
@pytest.mark.parametrize("pace", [LONG], ids=lambda pace: pace.rate)
def test_nothing_is_lost_at_a_high_rate(station: Station, content: Path, pace: Pace) -> None:
    """The same, recorded in memory and digested after: that takes more of a core than opening."""
    with recording_place(pace.bits * pace.seconds // 8) as recording:
        arguments = ("receive", "news", "--interface", "lo", "--credential", "tv-1.vault")
        with station.terminal.running(*arguments, "--output", str(recording)) as process:
            receiver = Running(process)
            receiver.wait_for("joined")
            sent = send(station, content, pace)
            line, _ = process.communicate(timeout=WAIT_S)
        print("receiver", line)
        counts = {what: int(number) for number, what in re.findall(r"(\d+) ([a-z ]+)", line)}
        opened, received = counts["of "], counts["packets opened"]
        assert line.strip().endswith("; bye")
        assert "dropped by the kernel" not in counts
        assert [counts[what] for what in ("lost ", "late", "replayed", "refused")] == [0, 0, 0, 0]
        assert counts["key changes"] >= pace.key_changes
        # What came before the first key, and found no more room to wait for it, was never the receiver's.
        before = sent["packets"] - opened
        assert 0 <= before <= received - opened
        written = recording.stat().st_size
        assert written == sent["bytes"] - before * 1316
        with ThreadPoolExecutor() as both:
            wanted = both.submit(digest_of, content, before * 1316, written)
            assert digest_of(recording, 0, written) == wanted.result()
