"""What a receiver costs (S1-14): plain software on a small machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from acceptance.stations import Station

CORE_SHARE_MAX = 0.25
"""A loop that spins takes more on any machine; what it takes here is in docs/performance.md."""

MEMORY_BYTES_MAX = 120 * 1024 * 1024


@pytest.fixture
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station whose keys change every two seconds."""
    made = Station(tmp_path_factory.mktemp("small"), "239.255.77.3:5004", "--lifetime", "2s")
    with made.terminal.key_server():
        made.set_up()
        yield made


def test_a_receiver_at_8_mbit_leaves_a_small_machine_free(station: Station, card: Path) -> None:
    """At 8 Mbit/s with a key change every 2 s: CPU time well below a core, memory at most 120 MB."""
    with station.receiver("--output", "small.ts") as receiver:
        receiver.wait_for("joined")
        with station.sender("--input", str(card)):
            receiver.wait_for_a_key()
            time.sleep(1.0)
            process = psutil.Process(receiver.process.pid)
            before, started = process.cpu_times(), time.monotonic()
            time.sleep(8.0)
            after, elapsed_s = process.cpu_times(), time.monotonic() - started
            memory_bytes = process.memory_info().rss
    busy_s = after.user - before.user + after.system - before.system
    print(f"receiver: {busy_s / elapsed_s:.1%} of a core, {memory_bytes / 1e6:.0f} MB")
    assert busy_s / elapsed_s <= CORE_SHARE_MAX
    assert memory_bytes <= MEMORY_BYTES_MAX
