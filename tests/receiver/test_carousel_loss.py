"""Measures what of a carousel is sent until 50 MB are there, at several losses and amounts of repair."""

import time
from pathlib import Path

import pytest

from receiver.rounds import Receiver, one_round
from sealcast.receiver.carousel import CarouselSink
from sealcast.receiver.values import Slab
from sealcast.testing import SimRandom

SIZE_BYTES = 50_000_000
LOSSES_PERCENT = (0, 1, 5, 20)
REPAIRS_PERCENT = (5, 10, 15, 25)
GROWTH_KB_MAX = 6_000
"""For a file ten times as large: marks, and what differs from run to run."""


@pytest.mark.soak
@pytest.mark.parametrize("repair", REPAIRS_PERCENT)
def test_how_much_is_sent_until_all_is_there(repair: int, tmp_path: Path) -> None:
    """From the first packet on: at 15 % repair, losses up to 5 % take one round, 20 % two."""
    data = SimRandom("carousel").bytes(SIZE_BYTES)
    packets = one_round({"f": data}, repair)
    round_bytes = sum(map(len, packets))
    for loss in LOSSES_PERCENT:
        folder = tmp_path / str(loss)
        folder.mkdir()
        receiver, random = Receiver(folder), SimRandom(loss)
        receiver.take(packets[:7])
        sent, cpu_s = 0, time.process_time()
        while not receiver.collection.is_done:
            for first in range(0, len(packets), 500):
                batch = packets[first : first + 500]
                sent += sum(map(len, batch))
                receiver.take(packet for packet in batch if random.below(100) >= loss)
                if receiver.collection.is_done:
                    break
        report = receiver.take([])
        receiver.close()
        print(
            f"repair {repair:2} % loss {loss:2} %: round {round_bytes / SIZE_BYTES:.3f},"
            f" sent {sent / SIZE_BYTES:.3f} times the file, {sent / round_bytes:.2f} rounds,"
            f" {report.repaired_blocks} of 193 blocks repaired,"
            f" {1e6 * (time.process_time() - cpu_s) / report.packets:.1f} us a packet"
        )
        assert (folder / "f").read_bytes() == data
        if repair == 15:
            assert sent <= (1 if loss <= 5 else 2) * round_bytes


@pytest.mark.soak
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """The process that writes 100 MB has the same peak as the one that writes 10 MB, with 5 % lost."""
    peaks = []
    for size_bytes in (10_000_000, 100_000_000):
        folder = tmp_path / str(size_bytes)
        folder.mkdir()
        packets, random = one_round({"f": SimRandom(1).bytes(size_bytes)}), SimRandom(2)
        sink = CarouselSink(folder)
        for first in range(0, len(packets), 100):
            train = [packet for packet in packets[first : first + 100] if random.below(100) >= 5]
            sink.write([Slab(b"".join(train), 1316)])
            while sink._pipe._held:
                time.sleep(0.001)
                sink.write([])
        while not sink.report.is_done:
            time.sleep(0.01)
            sink.write([])
        peaks.append(_peak_kb(sink._process.pid))
        sink.close()
    print(f"peak of 10 MB: {peaks[0]} kB, of 100 MB: {peaks[1]} kB")
    assert peaks[1] - peaks[0] < GROWTH_KB_MAX


def _peak_kb(pid: int) -> int:
    """Return the most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
