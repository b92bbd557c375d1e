"""Shows a replica's journal: every grant reaches the master exactly once, whatever breaks in between."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealcast.cluster import store_outbox
from sealcast.core.errors import UnreachableError
from sealcast.messages import operations
from sealcast.messages.cluster import GrantedRow
from sealcast.server.cluster import journal
from sealcast.server.settings import BillingSettings
from server.replicas import NAME, Device, Site, channel, epoch
from server.running import RANDOM

DEVICES = 40
STEPS = 50


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Make a replica with a channel and devices on its list."""
    site = Site(tmp_path)
    yield site
    site.close()


def on_air(site: Site, count: int) -> list[Device]:
    """Tell of a channel, and of so many devices."""
    devices = [site.device(f"tv-{number}") for number in range(count)]
    site.tell(
        ("party", site.studio()),
        *(("party", device.entry(1)) for device in devices),
        ("channel", channel(1, [epoch(1, 4, "ACTIVE")])),
    )
    return devices


def grant(site: Site, device: Device) -> None:
    """Have a device given its key."""
    assert site.run(site.guest(device).must(operations.KEYS, channel="news")).keys


def told(site: Site) -> list[str]:
    """Return the devices of whose grants the master hears, in their order."""
    return [row.device for row in site.journal() if isinstance(row, GrantedRow)]


@pytest.mark.parametrize("seed", [1, 2])
def test_exactly_once_whatever_breaks(site: Site, seed: int) -> None:
    """Acknowledgements lost, the bus away, the replica killed at any point: each grant is told of once."""
    chance = random.Random(seed)  # noqa: S311 - a plan, no key
    waiting = on_air(site, DEVICES)
    given: list[str] = []
    for _ in range(STEPS):
        step = chance.choice(["grant", "grant", "flush", "lose", "cut", "heal", "kill", "end"])
        if step == "grant" and waiting:
            given.append(waiting[-1].name)
            grant(site, waiting.pop())
        elif step == "lose":
            site.bus.lose_acknowledgements(NAME, chance.randrange(1, 3))
        elif step == "cut":
            site.bus.cut(NAME)
        elif step == "heal":
            site.bus.heal(NAME)
        elif step == "flush":
            try:
                site.flush()
            except UnreachableError:
                continue
        elif step in {"kill", "end"}:
            site.restart(is_killed=step == "kill")
    site.bus.heal(NAME)
    site.bus.lose_acknowledgements(NAME, 0)
    site.flush()
    assert Counter(told(site)) == Counter(given)
    assert site.read("SELECT count(*) FROM cluster_outbox") == [(0,)]


def test_a_batch_that_comes_again_with_more_rows(site: Site) -> None:
    """The bus took a batch and did not say so: it comes again with newer rows, and counts once."""
    devices = on_air(site, 6)
    for device in devices[:3]:
        grant(site, device)
    site.bus.lose_acknowledgements(NAME)
    with pytest.raises(UnreachableError):
        site.flush()
    for device in devices[3:]:
        grant(site, device)
    site.flush()
    assert told(site) == [device.name for device in devices]


def test_rows_that_come_meanwhile_go_together(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is on its way to the bus others come: they wait for more, instead of going one by one."""
    monkeypatch.setattr(journal, "GATHER_S", 3_600.0)
    devices = on_air(site, 4)
    forwarder = site.replica.forwarder
    grant(site, devices[0])
    bus: Any = forwarder._bus

    class Slow:
        async def submit(self, *given: Any) -> None:
            for device in devices[1:3]:
                await site.guest(device).must(operations.KEYS, channel="news")
            await bus.submit(*given)

    monkeypatch.setattr(forwarder, "_bus", Slow())
    site.run(forwarder._hand_in())
    assert (forwarder.submitted, forwarder.depth) == (1, 0)
    monkeypatch.setattr(forwarder, "_bus", bus)
    grant(site, devices[3])
    site.run(forwarder._hand_in())
    assert forwarder.submitted == 4
    assert site.bus.waiting_batches == 2


def test_a_database_from_a_backup(site: Site) -> None:
    """After a start from an old copy numbers go on from there under another name: no row is skipped."""
    devices = on_air(site, 6)
    database = site.directory / "keyserver.sqlite"
    grant(site, devices[0])
    site.restart()
    shutil.copy(database, site.folder / "copy")
    for device in devices[1:4]:
        grant(site, device)
    site.flush()
    site.restart()
    site.run(site.replica.close())
    for each in site.directory.glob("keyserver.sqlite*"):
        each.unlink()
    shutil.copy(site.folder / "copy", database)
    site.replica = site._open()
    for device in devices[4:]:
        grant(site, device)
    site.flush()
    assert Counter(told(site)) == Counter(device.name for device in devices)


def test_long_journals_travel_in_bounded_batches(site: Site) -> None:
    """What waited long goes out in pieces, in order, each small enough for the bus."""
    (device,) = on_air(site, 1)
    site.bus.cut(NAME)
    for _ in range(3):
        grant(site, device)
    site.run(site.replica.unit_of_work.run(_fill))
    site.bus.heal(NAME)
    site.flush()
    assert site.bus.waiting_batches > 2
    assert all(len(batch.data) < 256 * 1024 for batch in site.bus.content().batches)
    assert len(told(site)) == 3 + 1_500
    assert site.replica.forwarder.submitted >= 1_503


def test_evidence_travels_with_the_grant(tmp_path: Path) -> None:
    """Where the operator keeps evidence the signed request goes along, unless it is too long to be ours."""
    site = Site(tmp_path, settings={"billing": BillingSettings(evidence_days=30)})
    try:
        one, two = on_air(site, 2)
        grant(site, one)
        padded = site.guest(two)
        held = [f"{1:08x}{turn:08x}" for turn in range(60)]
        assert site.run(padded.must(operations.KEYS, channel="news", held=held)).keys is not None
        site.flush()
        rows = [row for row in site.journal() if isinstance(row, GrantedRow)]
        assert [row.token.count(".") for row in rows] == [2]
    finally:
        site.close()


def _fill(connection: object) -> None:
    """Put many long rows into the journal."""
    for number in range(1_500):
        name = f"tv-{number}-" + RANDOM.bytes(100).hex()
        row = GrantedRow(device=name, channel=1, epochs=[4], at_ms=1)
        store_outbox.add(connection, row)  # type: ignore[arg-type] # a connection
