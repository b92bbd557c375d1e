"""Owns the check of a key server's database after it was killed: nothing lost, nothing twice."""

from collections import Counter

from faults.asking import Memory
from faults.site import Site


def check_books(site: Site, memory: Memory, lab: str) -> None:
    """Compare what callers were told with what the database says."""
    assert site.query("PRAGMA integrity_check") == [("ok",)]
    check_grants(site, memory)
    check_asking_sender(site, memory, lab)
    check_audit(site)


def check_grants(site: Site, memory: Memory) -> None:
    """Every key that a device has in hand is in the database, once."""
    rows = Counter(site.query("SELECT device, channel, epoch FROM grants"))
    missing = [grant for grant in memory.grants if rows[grant] != 1]
    assert not missing, (
        f"{len(missing)} of {len(memory.grants)} grants are not in the database: {missing[:5]}"
    )


def check_asking_sender(site: Site, memory: Memory, lab: str) -> None:
    """Every slot, key and report that was confirmed to the asking sender stands."""
    number = site.channels[lab].number
    rows = site.query(
        "SELECT epoch, ssrc, on_air_at_ms, published_at_ms FROM epochs WHERE channel = ?", number
    )
    stored = {epoch: (ssrc, on_air, published) for epoch, ssrc, on_air, published in rows}
    for epoch, ssrc in memory.leased.items():
        assert stored[epoch][0] == ssrc
    assert all(stored[epoch][1] is not None for epoch in memory.on_air)
    assert all(stored[epoch][2] is not None for epoch in (*memory.published, *memory.generated))
    kept = {key_id.epoch: tek for key_id, tek in site.teks().items() if key_id.channel == number}
    for epoch, key in (memory.published | memory.generated).items():
        assert epoch not in kept or kept[epoch].key.reveal() == key


def check_audit(site: Site) -> None:
    """Compare the audit with the tables: one line for every deed, none for another, no number missing."""
    lines = site.query("SELECT id, what, subject FROM audit ORDER BY id")
    assert [number for number, _, _ in lines] == list(range(1, len(lines) + 1))
    for name, channel in site.channels.items():
        said = [(what, str(text).split()) for _, what, text in lines if str(text).split()[:1] == [name]]
        leases = [words[1] for what, words in said if what == "lease"]
        given = [epoch for lease in leases for epoch in _span(lease)]
        rows = site.query(
            "SELECT epoch, published_at_ms, on_air_at_ms FROM epochs WHERE channel = ? ORDER BY epoch",
            channel.number,
        )
        assert given == [epoch for epoch, _, _ in rows], f"{name}: epochs given twice, or not as recorded"
        keys = sorted(int(words[1]) for what, words in said if what in {"publish", "generate"})
        assert keys == [epoch for epoch, published, _ in rows if published is not None]
        on_air = sorted(int(words[1]) for what, words in said if what == "on-air")
        assert on_air == [epoch for epoch, _, at_ms in rows if at_ms is not None]


def _span(lease: str) -> range:
    first, last = lease.split("-")
    return range(int(first), int(last) + 1)
