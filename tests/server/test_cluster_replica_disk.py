"""Shows a replica whose disk is full: no key that could not be put on record, and it goes on by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.mounts import small_disk
from sealcast.messages import operations
from sealcast.messages.cluster import GrantedRow
from server.replicas import Site, channel, epoch

pytestmark = pytest.mark.mounts


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Site]:
    """Make a replica whose database has a small disk of its own."""
    with small_disk(tmp_path / "disk", "6m") as disk:
        site = Site(tmp_path, settings={"database": disk.folder / "replica.sqlite"})
        try:
            yield site
        finally:
            site.close()


def test_no_grant_without_a_record(full: Site, tmp_path: Path) -> None:
    """While the disk is full every request is refused as busy; what was granted is told of."""
    devices = [full.device(f"tv-{number}") for number in range(3)]
    full.tell(
        ("party", full.studio()),
        *(("party", device.entry(1)) for device in devices),
        ("channel", channel(1, [epoch(1, 4, "ACTIVE"), epoch(1, 5, "PUBLISHED")])),
    )
    assert full.run(full.guest(devices[0]).must(operations.KEYS, channel="news")).keys
    filler = tmp_path / "disk" / "filler"
    fill(filler)
    refused = []
    for _ in range(20):
        reply = full.run(full.guest(devices[1]).ask(operations.KEYS, channel="news"))
        if reply.status == 200:
            fill(filler)
            continue
        refused.append(reply.problem)
    assert "busy" in refused
    assert set(refused) == {"busy"}
    assert not full.run(full.replica.public.is_healthy())
    # What the master tells waits; it is taken over once there is room.
    entries = [
        full.of_master.entry("party", devices[2].entry(), full.now_ms()),
        full.of_master.entry("beat", full.beat(), full.now_ms()),
    ]
    full.offer(entries)
    filler.unlink()
    full.run(full.settled(within_s=20))
    assert full.run(full.guest(devices[2]).ask(operations.KEYS, channel="news")).problem == "not-subscribed"
    assert full.run(full.guest(devices[1]).must(operations.KEYS, channel="news")).keys
    full.flush()
    told = {row.device for row in full.journal() if isinstance(row, GrantedRow)}
    granted = {device for (device,) in full.read("SELECT DISTINCT device FROM grants")}
    assert told == granted == {"tv-0", "tv-1"}


def fill(filler: Path) -> None:
    """Leave no byte free."""
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            return
