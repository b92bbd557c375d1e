"""Shows credit notes on the database: once each, in the series of invoices, billed again if so meant."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealcast.messages import operations_billing as operations
from server.billing_site import BillingSite, billing_site, every_hour, price, terms

BASIC = terms(
    price("Subscription", "periods", 9_990_000), price("Data", "bytes", 100_000, 10**9), tax_ppm=190_000
)


@pytest.fixture
def site() -> Iterator[BillingSite]:
    """Give a key server on which January is billed: 1.20 of data, 9.99, and 2.13 of tax on both."""
    with billing_site("TV-1") as found:
        found.ask(operations.TARIFF_ADD, name="basic", currency="EUR", terms=BASIC, channels=["news"])
        found.subscribe("TV-1", "news")
        found.air(1, *every_hour(found.now_ms, 1), size=12 * 10**9)
        found.grant("TV-1", 1, 1)
        found.let_days_pass(32)
        found.bill()
        yield found


def credit(site: BillingSite, id_: str = "c-1", **fields: Any) -> Any:
    """Credit something of the invoice, and check the books."""
    answer = site.ask(operations.INVOICE_CREDIT, **{"number": 1, "id": id_, "reason": "sorry", **fields})
    site.check_books()
    return answer


def test_the_same_id_twice(site: BillingSite) -> None:
    """A credit asked for again under its id is one; another wish under that id is refused."""
    first = credit(site, lines=[1])
    again = credit(site, lines=[1])
    assert (first.is_new, again.is_new) == (True, False)
    assert first.note == again.note
    assert (first.note.number, first.note.corrects, first.note.total_minor) == (2, 1, -143)
    others: list[dict[str, Any]] = [{"lines": [2]}, {"lines": []}, {"reason": "no"}, {"is_rebilled": True}]
    for other in others:
        fields = {"number": 1, "id": "c-1", "reason": "sorry", "lines": [1], **other}
        assert site.refused(operations.INVOICE_CREDIT, **fields)[0] == "exists"
    assert site.read("SELECT count(*) FROM invoices") == [(2,)]
    assert site.read("SELECT what, subject FROM audit")[-1] == ("invoice-credit", "000002 on 000001")


def test_more_than_is_left(site: BillingSite) -> None:
    """Part by part, no more is credited than was asked for; the subscriber owes nothing in the end."""
    assert credit(site, "c-1", lines=[2], amount_minor=900).note.total_minor == -900 - 171
    refused = site.refused(
        operations.INVOICE_CREDIT, number=1, id="c-2", reason="sorry", lines=[2], amount_minor=100
    )
    assert refused == ("bad-request", "line 2 of invoice 000001 has 0.99 EUR left to credit")
    credit(site, "c-2")
    assert site.refused(operations.INVOICE_CREDIT, number=1, id="c-3", reason="sorry")[0] == "bad-request"
    assert site.refused(operations.INVOICE_CREDIT, number=2, id="c-4", reason="sorry")[0] == "bad-request"
    assert site.refused(operations.INVOICE_CREDIT, number=9, id="c-5", reason="x")[0] == "unknown-invoice"
    owed = "SELECT sum(amount_micro) FROM ledger_postings WHERE account = 'subscriber:TV-1'"
    assert site.read(owed) == [(0,)]


def test_kindness_is_not_billed_again(site: BillingSite) -> None:
    """What is credited for good does not come back on later bills, also if usage of its period comes late."""
    credit(site)
    site.tell_late(1, 1, 22 * 10**9)
    site.let_days_pass(31)
    (row,) = site.bill().issued
    january = [line for line in site.invoice(row.number).lines if line.period_start.startswith("2026-01")]
    # 22 GB are 2.20, of which 1.20 was billed, and credited for other reasons.
    assert [(line.name, line.amount_minor) for line in january] == [("Data", 100), ("tax", 19)]


def test_billed_again(site: BillingSite) -> None:
    """What is credited to be billed again is on the next invoice as it is right, with all its units."""
    credit(site, is_rebilled=True)
    assert site.bill().issued == []
    site.let_days_pass(31)
    (row,) = site.bill().issued
    invoice = site.invoice(row.number)
    january = [line for line in invoice.lines if line.period_start.startswith("2026-01")]
    assert [(line.name, line.billed_minor, line.amount_minor) for line in january] == [
        ("Data", 0, 120),
        ("Subscription", 0, 999),
        ("tax", 0, 213),
    ]
    units = "SELECT sum(units) FROM invoice_lines WHERE name = 'Data'"
    assert site.read(units) == [(12 * 10**9,)]
    site.let_days_pass(31)
    (row,) = site.bill().issued
    assert {line.period_start[:7] for line in site.invoice(row.number).lines} == {"2026-03"}


def test_billed_again_years_later(site: BillingSite) -> None:
    """The same for a period of long ago, which nothing else would rate again."""
    for _ in range(5):
        site.let_days_pass(32)
        site.bill()
    credit(site, lines=[1], is_rebilled=True)
    site.let_days_pass(32)
    (row,) = site.bill().issued
    january = [line for line in site.invoice(row.number).lines if line.period_start.startswith("2026-01")]
    assert [(line.name, line.amount_minor) for line in january] == [("Data", 120), ("tax", 23)]


WRONG: list[dict[str, Any]] = [
    {"id": ""},
    {"id": "x" * 129},
    {"id": "a\nb"},
    {"reason": "a\nb"},
    {"lines": [1, 1]},
    {"lines": [-1]},
    {"lines": [2**70]},
    {"amount_minor": 1},
    {"lines": [1], "amount_minor": 2**70},
    {"number": 2**70},
]


def test_refused(site: BillingSite) -> None:
    """What makes no sense is refused and leaves nothing behind."""
    for fields in WRONG:
        whole = {"number": 1, "id": "c-1", "reason": "sorry", **fields}
        assert site.refused(operations.INVOICE_CREDIT, **whole)[0] == "bad-request", fields
    assert site.read("SELECT count(*) FROM invoices") == [(1,)]


def test_credits_are_found_without_a_walk_over_all_invoices(site: BillingSite) -> None:
    """The database goes by an index from an invoice to its credit notes: the writer has little time."""
    query = (
        "EXPLAIN QUERY PLAN SELECT l.line, sum(l.due_minor) FROM invoice_lines l, invoices i"
        " WHERE i.corrects = 1 AND i.number = l.invoice GROUP BY l.line"
    )
    plan = [row[-1] for row in site.read(query)]
    assert any("ix_invoices_corrects" in step for step in plan)
    assert not any(step.startswith("SCAN") for step in plan)
