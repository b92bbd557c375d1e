"""Shows how `sealcast cluster status` tells of each server: one line, and what to make of it."""

from sealcast.cli.clusterstatus import Answered, journal_lines, rows_of
from sealcast.messages.clusterstatus import ClusterStatus, JournalRow

MASTER = ClusterStatus(
    name="keys-1",
    role="master",
    term=3,
    version=9,
    urls=["https://a"],
    unpublished=2,
    journals=[
        JournalRow(replica="keys-2", journal="x", number=7, at="2026-01-01T00:00:00Z"),
        JournalRow(replica="keys-2", journal="y", number=9, at="2026-01-02T00:00:00Z"),
    ],
    aside=1,
    parties=5,
    channels=1,
)
REPLICA = ClusterStatus(
    name="keys-2", role="replica", age_ms=1_200, is_fresh=True, journal_depth=4, parties=5, channels=1
)


def test_one_line_for_each_server() -> None:
    """A master, one that stands by and answers through it, replicas young and old, one that is gone."""
    old = ClusterStatus(name="keys-3", role="replica", age_ms=90_000, parties=5, channels=1)
    new = ClusterStatus(name="keys-4", role="replica")
    found = [
        Answered("https://a", MASTER),
        Answered("https://b", MASTER),
        Answered("https://c", REPLICA),
        Answered("https://d", old),
        Answered("https://e", new),
        Answered("https://f", None, "cannot connect"),
        Answered("https://g", ClusterStatus(name="", role="only")),
    ]
    assert rows_of(found) == [
        ("https://a", "keys-1", "master", "everything, term 3", "2 to publish", "5", "1"),
        ("https://b", "-", "standby", "relays to keys-1", "-", "-", "-"),
        ("https://c", "keys-2", "replica", "1.2 s ago", "4 to tell", "5", "1"),
        ("https://d", "keys-3", "replica", "90.0 s ago: gives the key on air alone", "0 to tell", "5", "1"),
        (
            "https://e",
            "keys-4",
            "replica",
            "nothing since its start: gives the key on air alone",
            "0 to tell",
            "0",
            "0",
        ),
        ("https://f", "-", "-", "cannot connect", "-", "-", "-"),
        ("https://g", "-", "only", "everything", "-", "0", "0"),
    ]


def test_what_the_master_knows_of_journals() -> None:
    """The newest journal of each replica, and whether anything is kept aside."""
    assert journal_lines([Answered("https://c", REPLICA)]) == []
    assert journal_lines([Answered("https://b", MASTER)]) == [
        "the journal of keys-2 is recorded up to 2026-01-02T00:00:00Z",
        "1 rows of journals are kept aside: see the key server's log",
    ]
