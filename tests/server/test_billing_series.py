"""Shows the series of invoices: one after the other, whoever closes, in whatever pieces, for ever."""

from collections.abc import Iterator

import pytest

from sealcast.billing import issuing
from sealcast.messages import operations_billing as operations
from server.billing_site import BillingSite, billing_site, price, terms
from server.charging import DAY_MS

BASIC = terms(price("Subscription", "periods", 9_990_000), tax_ppm=190_000)


@pytest.fixture
def site() -> Iterator[BillingSite]:
    """Give a key server with a channel and two devices, at midnight on 1 January 2026."""
    with billing_site("TV-1", "TV-2") as found:
        found.ask(operations.TARIFF_ADD, name="basic", currency="EUR", terms=BASIC, channels=["news"])
        yield found


def test_page_by_page(site: BillingSite) -> None:
    """Closed one customer at a time, by requests that stop half way, each is billed once and in order."""
    names = [f"STB-{number}" for number in range(5)]
    for name in names:
        site.add_device(name)
        site.subscribe(name, "news")
    site.let_days_pass(32)
    first = site.bill(limit=2)
    assert ([row.customer for row in first.issued], first.next, first.of) == (names[:2], names[1], 5)
    again = site.bill(limit=2)
    assert (again.issued, again.next) == ([], names[1])
    rest = site.bill(after=names[2])
    assert ([row.customer for row in rest.issued], rest.next) == (names[3:], None)
    alone = site.bill(customer=names[2])
    assert [(row.number, row.customer) for row in alone.issued] == [(5, names[2])]
    assert (alone.customers, alone.of, alone.next) == (1, 1, None)


def test_two_operators_at_once(site: BillingSite) -> None:
    """Bills that two operators worked out at the same moment are issued for the first of them only."""
    for device in ("TV-1", "TV-2"):
        site.subscribe(device, "news")
    site.let_days_pass(32)
    first, second = site.bill_together(2)
    assert [row.number for row in first.issued] == [1, 2]
    assert second.issued == []
    assert [row.customer for row in second.waiting] == ["TV-1", "TV-2"]
    assert site.bill().issued == []


def test_changed_meanwhile(site: BillingSite) -> None:
    """A device that joins a customer while its bill is worked out is billed to that customer, not twice."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(32)

    def join() -> None:
        site.ask(operations.CUSTOMER_SET, id="family", devices=["TV-1"])

    (stale,) = site.bill_together(1, join)
    assert (stale.issued, [row.customer for row in stale.waiting]) == ([], ["TV-1"])
    assert [row.customer for row in site.bill().issued] == ["family"]


def test_clock_set_back(site: BillingSite) -> None:
    """After the clock was set back the series goes on in order of time, and nothing is billed again."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(32)
    (row,) = site.bill().issued
    site.clock.jump_wall(-20 * DAY_MS * 10**6)
    site.run(site.operator.fetch_nonce())
    assert site.bill().issued == []
    note = site.ask(operations.INVOICE_CREDIT, number=1, id="c-1", reason="kindness").note
    assert note.issued_at_ms == row.issued_at_ms
    site.let_days_pass(49)
    assert [each.number for each in site.bill().issued] == [3]


def test_after_the_books_were_closed(site: BillingSite) -> None:
    """An invoice is of an instant at which the books are open, also if the clock was set back."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(40)
    until_ms = site.now_ms
    site.ask(operations.LEDGER_CLOSE, until_ms=until_ms)
    site.clock.jump_wall(-DAY_MS * 10**6)
    site.run(site.operator.fetch_nonce())
    (row,) = site.bill().issued
    assert row.issued_at_ms == until_ms


def test_the_same_bytes_for_ever(site: BillingSite) -> None:
    """A document that was issued is the same after later bills, a credit, and a restart of the server."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(32)
    site.bill()
    issued = site.document(1)
    site.tell_late(1, 1, 10**9)
    site.let_days_pass(31)
    site.bill()
    site.ask(operations.INVOICE_CREDIT, number=1, id="c-1", reason="kindness")
    assert site.document(1) == issued
    site.restart()
    assert site.document(1) == issued
    site.check_books()


def test_listed(site: BillingSite) -> None:
    """Invoices are listed by number: all, a customer's, those of a span, page by page."""
    for device in ("TV-1", "TV-2"):
        site.subscribe(device, "news")
    months = []
    for _ in range(3):
        site.let_days_pass(31)
        site.clock.advance(30 * 10**9)
        months.append(site.now_ms)
        site.bill()

    def listed(**fields: int | str) -> list[int]:
        answer = site.ask(operations.INVOICE_LIST, **fields)
        return [row.number for row in answer.invoices]

    assert listed() == [1, 2, 3, 4, 5, 6]
    assert listed(customer="TV-2") == [2, 4, 6]
    assert listed(since_ms=months[1]) == [3, 4, 5, 6]
    assert listed(since_ms=months[1], until_ms=months[2]) == [3, 4]
    assert listed(until_ms=months[0]) == []
    assert listed(since_ms=months[2] + 1) == []
    page = site.ask(operations.INVOICE_LIST, limit=4)
    assert (len(page.invoices), page.more) == (4, True)
    assert listed(after=4) == [5, 6]
    assert site.refused(operations.INVOICE_SHOW, number=7)[0] == "unknown-invoice"


def test_a_long_bill_is_several_invoices(site: BillingSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer with more lines than one invoice holds has several, numbered one after the other."""
    monkeypatch.setattr(issuing, "LINES_MAX", 3)
    site.ask(operations.CUSTOMER_SET, id="hotel", devices=["TV-1", "TV-2"])
    for device in ("TV-1", "TV-2"):
        site.subscribe(device, "news")
    site.let_days_pass(32)
    issued = site.bill().issued
    assert [(row.number, row.customer) for row in issued] == [(1, "hotel"), (2, "hotel")]
    assert [len(site.invoice(row.number).lines) for row in issued] == [3, 1]
    assert sum(row.total_minor for row in issued) == 2 * 1_189


def test_the_same_request_twice(site: BillingSite) -> None:
    """A request to close that is sent again, as its answer was lost, is answered with what it issued."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(32)
    first = site.ask(operations.INVOICE_CLOSE, jti="once")
    assert len(first.issued) == 1
    assert site.ask(operations.INVOICE_CLOSE, jti="once") == first
    site.check_books()
