"""Shows settlement on the database: contracts, statements that come once, payouts, and nothing half done."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sealcast.core.errors import RefusedError, UsageError
from sealcast.ledger.store import close as close_ledger
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import Statement
from sealcast.messages.encoding import decode
from sealcast.server.billing.invoices import next_invoice
from server.settling import Books, at, net, terms

pytestmark = pytest.mark.usefixtures("both_databases")

HALF = {"share_parts": 1, "share_of": 2}
THIRD = {"share_parts": 1, "share_of": 3}


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """Return the books of an operator with the channels news (1) and film (2), on 1 March 2026 in Berlin."""
    opened = Books(tmp_path, "2026-03-01T00:00+01:00")
    for name in ("news", "film"):
        opened.add_channel(name)
    yield opened
    opened.close()


def refused(problem: str, ask: Callable[[], object]) -> str:
    """Return the detail of a refusal, which must be of that name."""
    with pytest.raises((RefusedError, UsageError)) as no:
        ask()
    assert (no.value.type if isinstance(no.value, RefusedError) else "bad-request") == problem
    return str(no.value)


def sign(books: Books, broadcaster: str, since: str | None = None, **more: Any) -> Any:
    """Add a contract and return the answer's rows."""
    until = more.pop("until", None)
    return books.ask(
        operations.CONTRACT_ADD,
        terms=terms(broadcaster, **more),
        from_ms=None if since is None else at(since),
        until_ms=None if until is None else at(until),
    ).contracts


def settle(books: Books, **more: Any) -> list[tuple[int, str, str, int]]:
    """Settle what is due and return (number, broadcaster, currency, amount)."""
    answer = books.ask(operations.SETTLE, **more)
    return [(row.number, row.broadcaster, row.currency, row.amount_micro) for row in answer.statements]


def document(books: Books, number: int) -> Statement:
    """Return a statement's document, its SHA-256 checked."""
    answer = books.ask(operations.STATEMENT_SHOW, number=number)
    assert (len(answer.piece), sha256(answer.piece).hexdigest()) == (answer.size, answer.sha256)
    return decode(answer.piece, Statement)


def balance(books: Books, account: str) -> dict[str, int]:
    """Return what an account has, by currency."""
    found = books.ask(operations.LEDGER_BALANCES, prefix=account).balances
    return {row.currency: row.balance_micro for row in found if row.account == account}


def test_contracts_are_kept_and_end_each_other(books: Books) -> None:
    """A contract is listed with its channel's name; the broadcaster's next one ends it; one can be ended."""
    (row,) = sign(books, "one", **HALF)
    assert (row.number, row.terms, row.until_ms) == (1, terms("one", **HALF), None)
    assert row.from_ms == at("2026-03-01T00:00+01:00")
    ended, row = sign(books, "one", "2026-04-01T00:00+02:00", **THIRD)
    assert (ended.number, ended.until_ms, row.number) == (1, row.from_ms, 2)
    (row,) = books.ask(operations.CONTRACT_END, number=2, until_ms=row.from_ms).contracts
    assert row.from_ms == row.until_ms
    books.be("2026-03-10T00:00+01:00")
    (row,) = books.ask(operations.CONTRACT_END, number=1).contracts
    assert row.until_ms == at("2026-03-10T00:00+01:00")
    first = books.ask(operations.CONTRACT_LIST, limit=1)
    assert ([each.number for each in first.contracts], first.more) == ([1], True)
    rest = books.ask(operations.CONTRACT_LIST, after=1)
    assert ([each.number for each in rest.contracts], rest.more) == ([2], False)
    said = books.rows("SELECT what, subject FROM audit ORDER BY id")
    assert said == [
        ("contract-add", "1 one news"),
        ("contract-add", "2 one news"),
        ("contract-end", "2 one"),
        ("contract-end", "1 one"),
    ]


def test_contracts_that_are_refused(books: Books) -> None:
    """What no contract says is refused with one line, and nothing is kept of it."""
    sign(books, "one", share_parts=70)
    refused("unknown-channel", lambda: sign(books, "two", channel="none", **HALF))
    assert "110 %" in refused("overlap", lambda: sign(books, "two", share_parts=40))
    assert "begins at" in refused("overlap", lambda: sign(books, "one", share_parts=10))
    refused("bad-request", lambda: sign(books, "two"))
    refused("bad-request", lambda: sign(books, "two", code="XXQ", **HALF))
    refused("bad-request", lambda: sign(books, "two", "2025-01-01T00:00+01:00", **HALF))
    refused("bad-request", lambda: sign(books, "tw o", **HALF))
    refused("unknown-contract", lambda: books.ask(operations.CONTRACT_END, number=7))
    refused("bad-request", lambda: books.ask(operations.CONTRACT_END, number=1, until_ms=0))
    assert books.rows("SELECT number, until_ms FROM contracts") == [(1, None)]
    assert len(books.rows("SELECT 1 FROM audit")) == 1
    # Another channel and another currency are other subjects.
    sign(books, "two", channel="film", share_parts=40)
    sign(books, "two", code="JPY", share_parts=40)


def test_a_month_is_settled_once(books: Books) -> None:
    """Three thirds of 100.00 net: statements, their documents and the ledger agree; again, nothing comes."""
    for name in ("one", "two", "three"):
        sign(books, name, **THIRD)
    books.bill("2026-03-01T00:00+01:00", net(1, 6_000), (1, 1_140, None, 0, True))
    books.bill("2026-03-31T23:59:59.999+02:00", net(1, 4_000, "bytes", 77), net(2, 5_000))
    books.bill("2026-04-01T00:00+02:00", net(1, 999_999))
    books.be("2026-03-31T23:59:59.999+02:00")
    assert settle(books) == []
    books.be("2026-04-01T00:00+02:00")
    # By contract number the first has what does not divide; statements are in order of names.
    assert settle(books) == [
        (1, "one", "EUR", 33_333_334),
        (2, "three", "EUR", 33_333_333),
        (3, "two", "EUR", 33_333_333),
    ]
    assert settle(books) == []
    assert balance(books, "operator:income") == {"EUR": 100_000_000}
    assert balance(books, "broadcaster:one") == {"EUR": -33_333_334}
    found = document(books, 1)
    assert (found.number, found.operator, found.broadcaster) == (1, "Coast TV", "one")
    assert found.amount_micro == 33_333_334
    assert (found.period_start, found.period_end) == (
        "2026-03-01T00:00:00+01:00",
        "2026-04-01T00:00:00+02:00",
    )
    assert found.issued_at == "2026-04-01T00:00:00+02:00"
    (line,) = found.lines
    assert (line.contract, line.channel, line.channel_name) == (1, 1, "news")
    assert (line.billed_micro, line.share_micro, line.amount_micro) == (100_000_000, 33_333_334, 33_333_334)
    listed = books.ask(operations.STATEMENT_LIST, broadcaster="two").statements
    assert [row.number for row in listed] == [3]
    refused("unknown-invoice", lambda: books.ask(operations.STATEMENT_SHOW, number=4))
    said = books.rows("SELECT subject FROM audit WHERE what = 'statement-issue' ORDER BY id")
    assert said == [("000001 to 000003",)]


def test_many_months_page_by_page(books: Books) -> None:
    """Months are settled oldest first, as many at a time as are wanted; pages add up to all."""
    sign(books, "one", **HALF)
    sign(books, "two", "2026-02-10T00:00+01:00", code="JPY", **HALF)
    books.bill("2026-04-02T00:00+02:00", net(1, 501), code="JPY")
    books.be("2026-05-01T00:00+02:00")
    issued = []
    for _ in range(10):
        answer = books.ask(operations.SETTLE, limit=2)
        issued += answer.statements
        if not answer.more:
            break
    assert [(row.number, row.broadcaster, row.start_ms) for row in issued] == [
        (1, "two", at("2026-02-01T00:00+01:00")),
        (2, "one", at("2026-03-01T00:00+01:00")),
        (3, "two", at("2026-03-01T00:00+01:00")),
        (4, "one", at("2026-04-01T00:00+02:00")),
        (5, "two", at("2026-04-01T00:00+02:00")),
    ]
    assert [row.amount_micro for row in issued] == [0, 0, 0, 0, 250_500_000]
    # What comes to nothing is a statement without an entry.
    assert books.rows("SELECT id FROM ledger_entries") == [("statement-000005",)]


def test_settled_months_stand(books: Books) -> None:
    """No contract begins or ends in a month that was settled in its currency."""
    sign(books, "one", **HALF)
    books.be("2026-04-05T00:00+02:00")
    settle(books)
    late = "2026-03-31T23:59:59+02:00"
    assert "2026-03-31T22:00:00Z" in refused("period-closed", lambda: sign(books, "two", late, **HALF))
    refused("period-closed", lambda: books.ask(operations.CONTRACT_END, number=1, until_ms=at(late)))
    sign(books, "two", late, code="JPY", **HALF)
    sign(books, "two", "2026-04-01T00:00+02:00", **HALF)
    books.ask(operations.CONTRACT_END, number=1, until_ms=at("2026-04-01T00:00+02:00"))
    books.be("2026-05-01T00:00+02:00")
    assert [row[:3] for row in settle(books)] == [(2, "two", "JPY"), (3, "two", "EUR"), (4, "two", "JPY")]


def test_what_changes_in_between(books: Books) -> None:
    """A contract, an invoice or another statement that came while one was drafted: it is drafted again."""
    sign(books, "one", **HALF)
    books.bill("2026-03-10T00:00+01:00", net(1, 1_000))
    books.be("2026-04-01T00:00+02:00")
    none = books.ask(
        operations.SETTLE, meanwhile=lambda: sign(books, "two", "2026-03-05T00:00+01:00", **HALF)
    )
    assert (none.statements, none.more) == ([], True)
    # An invoice of the last instant of March that was still being written.
    none = books.ask(
        operations.SETTLE, meanwhile=lambda: books.bill("2026-03-31T23:59:59+02:00", net(1, 500))
    )
    assert (none.statements, none.more) == ([], True)
    end = {"number": 2, "until_ms": at("2026-03-06T00:00+01:00")}
    none = books.ask(operations.SETTLE, meanwhile=lambda: books.ask(operations.CONTRACT_END, **end))
    assert (none.statements, none.more) == ([], True)
    none = books.ask(operations.SETTLE, meanwhile=lambda: settle(books))
    assert (none.statements, none.more) == ([], True)
    assert settle(books) == []
    listed = books.ask(operations.STATEMENT_LIST).statements
    assert [(row.number, row.broadcaster, row.amount_micro) for row in listed] == [
        (1, "one", 7_500_000),
        (2, "two", 0),
    ]
    # An invoice of a later month is none of its business.
    books.be("2026-05-01T00:00+02:00")
    assert books.ask(
        operations.SETTLE, meanwhile=lambda: books.bill("2026-05-01T00:00+02:00", net(1, 1))
    ).statements


def test_a_clock_set_back(books: Books) -> None:
    """Statements are never dated before the last one, before the end of their month, or into closed books."""
    sign(books, "one", **HALF)
    books.bill("2026-03-10T00:00+01:00", net(1, 1_000))
    books.bill("2026-04-10T00:00+01:00", net(1, 1_000))
    books.be("2026-04-20T00:00+02:00")
    settle(books)
    books.write(
        lambda connection: close_ledger(
            connection, at("2026-04-20T00:00+02:00"), at("2026-04-20T00:00+02:00")
        )
    )
    books.be("2026-04-10T00:00+02:00")
    sign(books, "two", "2026-03-10T00:00+01:00", code="JPY", share_parts=1, minimum_micro=31_000_000)
    settle(books)
    listed = books.ask(operations.STATEMENT_LIST).statements
    assert [row.issued_at_ms for row in listed] == [at("2026-04-20T00:00+02:00")] * 2
    assert books.rows("SELECT effective_ms FROM ledger_entries") == [(at("2026-04-20T00:00+02:00"),)] * 2


def test_no_invoice_comes_into_a_settled_month(books: Books) -> None:
    """With the clock set back behind a month that was settled, invoices are dated after it."""
    sign(books, "one", **HALF)
    books.be("2026-04-01T00:00+02:00")
    settle(books)
    back = at("2026-03-20T00:00+01:00")
    assert books.write(lambda connection: next_invoice(connection, back)) == (1, at("2026-04-01T00:00+02:00"))


def test_credits_are_set_off_and_payouts_leave_the_rest(books: Books) -> None:
    """A month below 0 stays on the account; a payout is all that is owed, in whole cents, and once."""
    sign(books, "a/b", **THIRD)
    books.bill("2026-03-10T00:00+01:00", net(1, 10_000))
    books.bill("2026-04-10T00:00+02:00", net(1, -2_000))
    books.be("2026-04-01T00:00+02:00")
    settle(books)
    pay = {"broadcaster": "a/b", "currency": "EUR"}
    # 100 / 3 = 33.333333: 33.33 is paid, 0.003333 stays.
    paid = books.ask(operations.PAYOUT, id="p-1", **pay)
    assert (paid.paid_minor, paid.left_micro, paid.is_new) == (3_333, 3_333, True)
    again = books.ask(operations.PAYOUT, id="p-1", **pay)
    assert (again.paid_minor, again.left_micro, again.is_new, again.entry) == (
        3_333,
        3_333,
        False,
        paid.entry,
    )
    none = books.ask(operations.PAYOUT, id="p-2", **pay)
    assert (none.paid_minor, none.left_micro, none.entry) == (0, 3_333, None)
    books.be("2026-05-01T00:00+02:00")
    # -20 / 3 = -6.666667: the broadcaster owes, and nothing is paid.
    assert settle(books) == [(2, "a/b", "EUR", -6_666_667)]
    none = books.ask(operations.PAYOUT, id="p-2", **pay)
    assert (none.paid_minor, none.left_micro, none.entry) == (0, -6_663_334, None)
    books.bill("2026-05-10T00:00+02:00", net(1, 5_000))
    books.be("2026-06-01T00:00+02:00")
    settle(books)
    # 50 / 3 = 16.666667 less 6.663334: 10.003333.
    paid = books.ask(operations.PAYOUT, id="p-2", **pay)
    assert (paid.paid_minor, paid.left_micro, paid.is_new) == (1_000, 3_333, True)
    assert balance(books, "operator:cash") == {"EUR": -43_330_000}
    refused("exists", lambda: books.ask(operations.PAYOUT, id="p-2", broadcaster="a/b", currency="JPY"))
    refused("exists", lambda: books.ask(operations.PAYOUT, id="p-2", broadcaster="c", currency="EUR"))
    refused("bad-request", lambda: books.ask(operations.PAYOUT, id="statement-1", **pay))
    refused("bad-request", lambda: books.ask(operations.PAYOUT, id="p-3", broadcaster="c", currency="XXQ"))
    assert books.rows("SELECT sum(amount_micro) FROM ledger_postings") == [(0,)]


def test_units_and_tax(books: Books) -> None:
    """A price per GB billed counts the units of lines; tax and a removed channel's name are no obstacle."""
    sign(books, "one", unit="bytes", unit_price_micro=10_000, unit_per=10**9)
    books.bill("2026-03-10T00:00+01:00", net(1, 123, "bytes", 12 * 10**9), (1, 23, None, 10**12, True))
    books.bill("2026-03-11T00:00+01:00", net(1, -23, "bytes", -2 * 10**9), net(1, 50, "epochs", 9))
    books.rows("UPDATE channels SET removed_at_ms = 1 WHERE number = 1 RETURNING 1")
    books.be("2026-04-01T00:00+02:00")
    assert settle(books) == [(1, "one", "EUR", 100_000)]
    (line,) = document(books, 1).lines
    assert (line.channel_name, line.units, line.units_micro) == ("news", 10**10, 100_000)
    assert line.billed_micro == 1_500_000
    raw = books.ask(operations.STATEMENT_SHOW, number=1).piece
    assert b" " not in raw.split(b'"workings"')[0].replace(b"Coast TV", b"")
    assert (
        json.loads(raw)["lines"][0]["workings"]
        == "10,000,000,000 bytes at 0.01 per 1,000,000,000 bytes = 0.1"
    )
