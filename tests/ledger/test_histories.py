"""Shows that the ledger balances after every step of any history, and that what is undone leaves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.core.errors import RefusedError, UsageError
from sealcast.ledger import reading, store
from sealcast.ledger.entries import Entry, Posting, balances, reverse
from sealcast.storage.unitofwork import UnitOfWork
from storage.places import is_on_postgres, upgraded_engine

pytestmark = pytest.mark.usefixtures("both_databases")

EXAMPLES = 40
IDS = [f"e-{number}" for number in range(6)]
NAMES = [
    "subscriber:a",
    "subscriber:a%2Fb",
    "operator:income",
    "operator:cash",
    "tax:190000",
    "broadcaster:x",
]
LARGEST = 10**18
ids = st.sampled_from(IDS)
instants = st.integers(0, 20)
amounts = st.one_of(st.integers(1, 5), st.integers(1, LARGEST // 4)).flatmap(
    lambda amount: st.sampled_from((amount, -amount))
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Return a balanced entry under one of few ids."""
    postings = [Posting(draw(st.sampled_from(NAMES)), draw(amounts)) for _ in range(draw(st.integers(1, 3)))]
    rest = -sum(each.amount_micro for each in postings)
    if rest:
        postings.append(Posting(draw(st.sampled_from(NAMES)), rest))
    currency = draw(st.sampled_from(("EUR", "JPY")))
    return Entry(draw(ids), currency, draw(instants), tuple(postings), draw(st.sampled_from(("", "memo"))))


@dataclass
class Books:
    """What the ledger has to hold, kept by hand."""

    kept: dict[str, Entry] = field(default_factory=dict)
    closed_ms: int = 0

    def verdict(self, entry: Entry) -> str:
        """Return what has to become of an entry: `new`, `old`, or the name of its refusal."""
        known = self.kept.get(entry.id)
        if known is not None:
            return "old" if known.is_same_as(entry) else "exists"
        if entry.effective_ms < self.closed_ms:
            return "period-closed"
        if entry.corrects is not None and entry.corrects in (each.corrects for each in self.kept.values()):
            return "exists"
        return "new"


steps = st.one_of(
    st.tuples(st.just("post"), entries()),
    st.tuples(st.just("again"), ids),
    st.tuples(st.just("reverse"), st.tuples(ids, ids, instants)),
    st.tuples(st.just("close"), instants),
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """Give a connection whose transactions are all undone."""
    engine = upgraded_engine(tmp_path_factory.mktemp("histories") / "test.sqlite")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@given(st.lists(steps, max_size=25))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_balanced_after_every_step(opened: sa.Connection, told: list[tuple[str, object]]) -> None:
    """Whatever is posted, told again, taken back or closed: each step does what it must, and all balances."""
    books = Books()
    with opened.begin() as transaction:
        for verb, what in told:
            take(opened, books, verb, what)
            compare(opened, books)
        transaction.rollback()


def take(connection: sa.Connection, books: Books, verb: str, what: object) -> None:
    """Do one step at the ledger and in the books."""
    if verb == "close":
        assert isinstance(what, int)
        if what < books.closed_ms:
            with pytest.raises(RefusedError, match="closed"):
                store.close(connection, what, what)
        else:
            store.close(connection, what, what)
            books.closed_ms = what
        return
    entry = entry_of(books, verb, what)
    if entry is None:
        return
    verdict = books.verdict(entry)
    if verdict in ("new", "old"):
        recorded = store.record(connection, entry, 7)
        assert recorded.is_new == (verdict == "new")
        assert store.entry_of(recorded.row).is_same_as(entry)
        books.kept[entry.id] = entry
        return
    with pytest.raises(RefusedError) as no:
        store.record(connection, entry, 7)
    assert no.value.type == verdict


def entry_of(books: Books, verb: str, what: object) -> Entry | None:
    """Return the entry that a step is about."""
    if verb == "post":
        assert isinstance(what, Entry)
        return what
    if verb == "again":
        return books.kept.get(str(what))
    assert isinstance(what, tuple)
    corrects, id_, effective_ms = what
    wrong = books.kept.get(corrects)
    return None if wrong is None else reverse(wrong, id_, effective_ms, "")


def compare(connection: sa.Connection, books: Books) -> None:
    """Hold the ledger against the books, and all its accounts against nothing."""
    expected = balances(books.kept.values())
    names = reading.accounts(connection, "", "", 100)
    assert names == sorted({name for name, _ in expected})
    found = reading.balances(connection, names[0], names[-1]) if names else []
    assert {(each.account, each.currency): each.balance_micro for each in found} == expected
    for currency in ("EUR", "JPY"):
        assert sum(each.balance_micro for each in found if each.currency == currency) == 0
    for name, currency in expected:
        assert reading.balance(connection, name, currency) == expected[name, currency]
    assert reading.unbalanced(connection, 0, 100) == []
    rows = list(reading.page(connection, None, 0, 100))
    assert [store.entry_of(row) for row in rows] == list(books.kept.values())
    assert (store.closed_until(connection) or 0) == books.closed_ms


def test_balances_as_of_an_instant(connection: sa.Connection) -> None:
    """Only what happened before the instant counts, in whatever order it was recorded, and adds up."""
    history = [
        Entry(f"e-{at}", "EUR", at, (Posting("a", 1 << at), Posting("b", -(1 << at)))) for at in (3, 1, 2)
    ]
    for entry in history:
        store.record(connection, entry, 9)
    for until_ms in range(5):
        then = {each.account: each.balance_micro for each in reading.balances(connection, "a", "b", until_ms)}
        counted = sum(1 << at for at in (1, 2, 3) if at < until_ms)
        assert then == ({"a": counted, "b": -counted} if counted else {})


def test_a_tampered_file_is_found_out(connection: sa.Connection) -> None:
    """Entries that lost a posting, or have another amount in one, are named, once the triggers are gone."""
    for number in range(6):
        postings = (Posting("a", 5), Posting("b", -5))
        store.record(connection, Entry(f"e-{number}", "EUR", 0, postings), 0)
    table = " ON ledger_postings" if is_on_postgres() else ""
    for trigger in ("no_update", "no_delete"):
        connection.exec_driver_sql(f"DROP TRIGGER ledger_postings_{trigger}{table}")
    connection.exec_driver_sql("DELETE FROM ledger_postings WHERE entry = 2 AND place = 1")
    connection.exec_driver_sql("UPDATE ledger_postings SET amount_micro = 6 WHERE entry = 4 AND place = 0")
    connection.exec_driver_sql("DELETE FROM ledger_postings WHERE entry = 5")
    assert reading.unbalanced(connection, 0, 100) == [2, 4, 5]
    assert reading.unbalanced(connection, 2, 4) == [4]


def test_more_than_64_bits(connection: sa.Connection) -> None:
    """Balances beyond what the database adds up are exact: nobody can put them out of order."""
    for number in range(30):
        postings = (Posting("a", LARGEST - number), Posting("b", number - LARGEST))
        store.record(connection, Entry(f"e-{number}", "EUR", 0, postings), 0)
    total = 30 * LARGEST - sum(range(30))
    assert reading.balance(connection, "a", "EUR") == total
    assert [each.balance_micro for each in reading.balances(connection, "a", "b")] == [total, -total]
    with pytest.raises(UsageError):
        Entry("e", "EUR", 0, (Posting("a", LARGEST + 1), Posting("b", -LARGEST - 1)))


def test_accounts_by_prefix(connection: sa.Connection) -> None:
    """Accounts come by name, those that begin with a prefix and lie behind another, none left out."""
    names = sorted([*NAMES, "subscriber", "subscriber:", "subscriber:a-b", "tax:"])
    names = [name for name in names if not name.endswith(":")]
    postings = tuple(Posting(name, sign) for name in names for sign in (1, -1))
    store.record(connection, Entry("e", "EUR", 0, postings), 0)
    for prefix in ("", "s", "subscriber", "subscriber:a", "subscriber:a%", "zzz", "\u00fc", "x" * 10_000):
        wanted = [name for name in names if name.startswith(prefix)]
        assert reading.accounts(connection, prefix, "", 100) == wanted
        for after in (*names, "", "m", "~"):
            behind = [name for name in wanted if name > after]
            assert reading.accounts(connection, prefix, after, 100) == behind
            assert reading.accounts(connection, prefix, after, 2) == behind[:2]


class BrokenError(Exception):
    """What a unit of work fails with."""


def test_a_unit_that_fails_leaves_nothing(engine: sa.Engine) -> None:
    """Entries of a unit that is undone are gone with it, and the next entry has the next number."""
    paid = Entry("e-1", "EUR", 5, (Posting("a", 1), Posting("b", -1)))

    def fail(connection: sa.Connection) -> NoReturn:
        store.record(connection, paid, 0)
        store.record(connection, reverse(paid, "r-1", 6, ""), 0)
        store.close(connection, 10, 10)
        raise BrokenError

    unit_of_work = UnitOfWork(engine)
    with pytest.raises(BrokenError):
        unit_of_work.run_blocking(fail)
    assert unit_of_work.run_blocking(lambda connection: list(reading.page(connection, None, 0, 9))) == []
    assert unit_of_work.run_blocking(store.closed_until) is None
    recorded = unit_of_work.run_blocking(lambda connection: store.record(connection, paid, 0))
    assert (recorded.is_new, recorded.row.number) == (True, 1)
    unit_of_work.close()
