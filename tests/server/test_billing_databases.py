"""Shows that money goes the same ways on both databases: after one story they have the same to the byte."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import ContractTerms, PostingRow
from server.billing_site import BillingSite, billing_site, every_hour, price, terms
from storage.places import Places, on

BASIC = terms(
    price("Subscription", "periods", 9_990_000), price("Data", "bytes", 100_000, 10**9), tax_ppm=190_000
)
CONTRACT = ContractTerms(broadcaster="studio7", channel="news", currency="EUR", share_parts=1, share_of=2)
PAID_MICRO = 12_960_000
PERIODS = "(SELECT customer, start_ms, end_ms, closed_at_ms FROM billed_periods) AS periods"
KEPT = ("invoices", "invoice_lines", "ledger_entries", "ledger_postings", "statements", PERIODS)
"""Where money stands; of each, every row and column. PostgreSQL numbers the rows of periods besides."""

WRITTEN = ("UPDATE invoices SET total_minor = 1", "DELETE FROM ledger_postings", "DELETE FROM billed_periods")


def story(site: BillingSite) -> None:
    """Bill a month, take its payment, credit a part, bill late usage, settle with a broadcaster."""
    site.ask(operations.TARIFF_ADD, name="basic", currency="EUR", terms=BASIC, channels=["news"])
    site.ask(operations.CONTRACT_ADD, terms=CONTRACT)
    site.subscribe("TV-1", "news")
    site.air(1, *every_hour(site.now_ms, 3), size=3 * 10**9)
    site.grant("TV-1", 1, 1, 2, 3)
    site.let_days_pass(32)
    (row,) = site.bill().issued
    assert (row.number, row.total_minor) == (1, 1_296)
    assert site.bill().issued == []
    postings = [
        PostingRow(account="operator:cash", amount_micro=PAID_MICRO),
        PostingRow(account="subscriber:TV-1", amount_micro=-PAID_MICRO),
    ]
    now_ms = site.now_ms
    for _ in range(2):
        site.ask(operations.LEDGER_POST, id="p-1", currency="EUR", postings=postings, effective_ms=now_ms)
    site.ask(operations.INVOICE_CREDIT, number=1, id="c-1", lines=[1], reason="no picture")
    site.tell_late(1, 2, 5 * 10**9)
    site.let_days_pass(32)
    assert len(site.bill().issued) == 1
    site.ask(operations.SETTLE)
    assert site.ask(operations.USAGE_AUDIT, after="").findings == []


def left(places: Places | None) -> dict[str, list[Any]]:
    """Return all that the story leaves, on PostgreSQL or in a file; nothing of it can be changed."""
    with on(places), billing_site("TV-1") as site:
        story(site)
        for statement in WRITTEN:
            with pytest.raises(sa.exc.DBAPIError):
                site.look(partial(_carry_out, sa.text(statement)))
        found = {table: sorted(site.read(f"SELECT * FROM {table}"), key=repr) for table in KEPT}  # noqa: S608 - our names
        found["balances"] = site.ask(operations.LEDGER_BALANCES).balances
        return found


def _carry_out(statement: sa.TextClause, connection: sa.Connection) -> None:
    connection.execute(statement)


def test_the_same_on_both_databases(postgres_places: Places) -> None:
    """Closing, credit, ledger and settlement leave the same rows and documents; neither has them changed."""
    here, there = left(None), left(postgres_places)
    assert len(here["invoices"]) == 3
    assert sum(row.balance_micro for row in here["balances"]) == 0
    assert here == there
