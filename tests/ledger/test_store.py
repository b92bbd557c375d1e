"""Shows that the ledger on disk records an entry once, always balances, and is never changed."""

import pytest
import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError
from sealcast.ledger import store
from sealcast.ledger.entries import Entry, Posting, reverse
from sealcast.ledger.tables import ledger_postings

pytestmark = pytest.mark.usefixtures("both_databases")

NOW_MS = 1_000_000
TABLES = ("ledger_entries", "ledger_postings", "ledger_closings")


def entry(id_: str = "e-1", amount: int = 5, effective_ms: int = 10) -> Entry:
    """Return an entry."""
    postings = (Posting("subscriber:TV-1", amount), Posting("operator:income", -amount))
    return Entry(id_, "EUR", effective_ms, postings, "a memo")


def dump(connection: sa.Connection) -> list[object]:
    """Return all that the ledger holds."""
    return [
        tuple(row)
        for table in TABLES
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}")  # noqa: S608 - names of our own
    ]


def test_an_entry_is_recorded_once(connection: sa.Connection) -> None:
    """Told again at whatever time and in whatever order of postings, it is the same row."""
    first = store.record(connection, entry(), NOW_MS)
    told = entry()
    again = store.record(
        connection, Entry(told.id, "EUR", 10, tuple(reversed(told.postings)), "a memo"), NOW_MS + 9
    )
    assert (first.is_new, again.is_new) == (True, False)
    assert first.row == again.row == store.find(connection, "e-1")
    assert store.entry_of(first.row) == entry()
    assert (first.row.number, first.row.recorded_at_ms) == (1, NOW_MS)


@pytest.mark.parametrize(
    "other",
    [
        entry(amount=6),
        entry(effective_ms=11),
        Entry("e-1", "CHF", 10, entry().postings, "a memo"),
        Entry("e-1", "EUR", 10, entry().postings, "another memo"),
        Entry("e-1", "EUR", 10, (*entry().postings, Posting("a:b", 1), Posting("a:b", -1)), "a memo"),
        reverse(entry(), "e-1", 10, "a memo"),
    ],
)
def test_another_entry_under_the_same_id(connection: sa.Connection, other: Entry) -> None:
    """It is refused whatever differs, and changes nothing."""
    store.record(connection, entry(), NOW_MS)
    before = dump(connection)
    with pytest.raises(RefusedError, match="another entry has the id e-1") as no:
        store.record(connection, other, NOW_MS)
    assert (no.value.type, no.value.status) == ("exists", 409)
    assert dump(connection) == before


def test_entries_of_documents(connection: sa.Connection) -> None:
    """They are recorded many at a time; what stands against one is a fault, and undoes its document too."""
    store.close(connection, 10, NOW_MS)
    store.record(connection, entry(), NOW_MS)
    some = [entry(f"invoice-00000{number}", number + 1) for number in range(5)]
    store.record_new(connection, [], NOW_MS)
    store.record_new(connection, some[:2], NOW_MS)
    store.record_new(connection, some[2:], NOW_MS)
    found = [store.find(connection, each.id) for each in some]
    assert [(row.number, store.entry_of(row)) for row in found if row] == list(enumerate(some, 2))
    assert store.record(connection, entry("e-2"), NOW_MS).row.number == 7
    before = dump(connection)
    for wrong in (entry("invoice-9", effective_ms=9), reverse(entry(), "invoice-9", 10, "")):
        with pytest.raises(LocalError, match="the entry invoice-9 of a document"):
            store.record_new(connection, [entry("invoice-8"), wrong], NOW_MS)
    assert dump(connection) == before
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        store.record_new(connection, [some[1]], NOW_MS)
    assert dump(connection) == before


def test_reversing(connection: sa.Connection) -> None:
    """An entry is taken back once; what took it back may be taken back in turn."""
    store.record(connection, entry(), NOW_MS)
    back = reverse(entry(), "r-1", 20, "mistaken")
    assert store.record(connection, back, NOW_MS).is_new
    assert not store.record(connection, back, NOW_MS).is_new
    with pytest.raises(RefusedError, match="taken back already, by r-1") as no:
        store.record(connection, reverse(entry(), "r-2", 20, "again"), NOW_MS)
    assert no.value.type == "exists"
    assert store.record(connection, reverse(back, "r-3", 30, "it was right"), NOW_MS).is_new


def test_what_corrects_nothing(connection: sa.Connection) -> None:
    """A correction of an unknown entry, of itself, or of other amounts is refused."""
    store.record(connection, entry(), NOW_MS)
    for wrong, name in (
        (reverse(entry("e-9"), "r-1", 20, ""), "unknown-entry"),
        (reverse(entry("r-1"), "r-1", 20, ""), "unknown-entry"),
        (reverse(entry(amount=6), "r-1", 20, ""), "bad-request"),
        (Entry("r-1", "EUR", 20, entry().postings, "", "e-1"), "bad-request"),
        (Entry("r-1", "CHF", 20, reverse(entry(), "r", 0, "").postings, "", "e-1"), "bad-request"),
    ):
        with pytest.raises(RefusedError) as no:
            store.record(connection, wrong, NOW_MS)
        assert no.value.type == name
    assert len(dump(connection)) == 3


def test_closing_the_books(connection: sa.Connection) -> None:
    """Of an instant before the closing nothing new is taken; what was told before is still found."""
    old = entry("old", effective_ms=10)
    store.record(connection, old, NOW_MS)
    assert store.closed_until(connection) is None
    assert store.open_at(connection, 5) == 5
    assert store.close(connection, 100, NOW_MS)
    assert not store.close(connection, 100, NOW_MS)
    assert store.closed_until(connection) == 100
    assert (store.open_at(connection, 5), store.open_at(connection, 500)) == (100, 500)
    with pytest.raises(RefusedError, match="closed") as no:
        store.record(connection, entry("late", effective_ms=99), NOW_MS)
    assert no.value.type == "period-closed"
    assert not store.record(connection, old, NOW_MS).is_new
    assert store.record(connection, entry("in-time", effective_ms=100), NOW_MS).is_new
    assert store.record(connection, reverse(old, "back", 100, ""), NOW_MS).is_new
    for until_ms, name in ((99, "period-closed"), (NOW_MS + 1, "bad-request")):
        with pytest.raises(RefusedError) as no:
            store.close(connection, until_ms, NOW_MS)
        assert no.value.type == name
    assert store.close(connection, NOW_MS, NOW_MS)


@pytest.mark.parametrize(
    "places",
    [
        ((0, 5), (1, -4)),
        ((1, 5),),
        ((1, 0),),
        ((0, 5), (1, -5), (2, 1)),
    ],
)
def test_the_database_refuses_what_does_not_balance(
    connection: sa.Connection, places: tuple[tuple[int, int], ...]
) -> None:
    """The last posting of an entry is taken only if all are there and add up to nothing."""
    connection.exec_driver_sql("INSERT INTO ledger_entries VALUES (1, 'x', 'EUR', 0, '', NULL, 2, 0)")
    rows = [
        {"entry": 1, "place": place, "account": "a:b", "amount_micro": amount} for place, amount in places
    ]
    for row in rows[:-1]:
        connection.execute(ledger_postings.insert(), row)
    with pytest.raises(sa.exc.IntegrityError):
        connection.execute(ledger_postings.insert(), rows[-1])
