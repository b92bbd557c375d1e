"""Shows closing on the database: every period billed once, whoever closes, whenever, in whatever pieces."""

from collections.abc import Iterator

import pytest

from sealcast.billing import issuing
from sealcast.messages import operations_billing as operations
from sealcast.messages.invoicing import InvoiceLine
from server.billing_site import HOUR_MS, BillingSite, billing_site, every_hour, price, terms
from server.charging import DAY_MS

JANUARY_MS = 31 * DAY_MS
BASIC = terms(
    price("Subscription", "periods", 9_990_000),
    price("Data", "bytes", 100_000, 10**9, free=2_000_000),
    tax_ppm=190_000,
)


@pytest.fixture
def site() -> Iterator[BillingSite]:
    """Give a key server with a channel and two devices, at midnight on 1 January 2026."""
    with billing_site("TV-1", "TV-2") as found:
        found.ask(operations.TARIFF_ADD, name="basic", currency="EUR", terms=BASIC, channels=["news"])
        yield found


def test_a_month(site: BillingSite) -> None:
    """The bill of a month: what was subscribed and granted, its tax, its entry in the ledger."""
    start_ms = site.now_ms
    site.subscribe("TV-1", "news")
    site.air(1, *every_hour(start_ms, 4), size=3 * 10**9)
    site.grant("TV-1", 1, 1, 2, 4)
    site.let_days_pass(31)
    assert site.bill().waiting[0].why
    site.let_days_pass(1)

    answer = site.bill()
    (row,) = answer.issued
    assert (row.number, row.customer, row.currency, row.decimals, row.kind) == (
        1,
        "TV-1",
        "EUR",
        2,
        "invoice",
    )
    assert (answer.waiting, answer.next, answer.customers, answer.of) == ([], None, 1, 1)
    # 9.99 for the whole month; 9 GB less 2 MB at 0.10 a GB are 0.8998; 19 % of 10.89 are 2.0691.
    invoice = site.invoice(1)
    assert [(line.name, line.units, line.amount_minor) for line in invoice.lines] == [
        ("Data", 9 * 10**9, 90),
        ("Subscription", JANUARY_MS, 999),
        ("tax", 0, 207),
    ]
    assert (invoice.net_minor, invoice.tax_minor, invoice.total_minor) == (1_089, 207, 1_296)
    assert (row.total_minor, row.issued_at_ms) == (1_296, site.now_ms)
    first = invoice.lines[0]
    assert (first.period_start, first.period_end) == (
        "2026-01-01T00:00:00+00:00",
        "2026-02-01T00:00:00+00:00",
    )
    assert (first.tariff, first.channel_name, first.device) == ("basic", "news", "TV-1")
    assert all(line.workings for line in invoice.lines)
    assert invoice.lines[2].tax_ppm == 190_000
    postings = site.read("SELECT account, amount_micro FROM ledger_postings ORDER BY place")
    assert dict(postings) == {
        "subscriber:TV-1": 12_960_000,
        "operator:income": -10_890_000,
        "tax:190000": -2_070_000,
    }
    audit = site.read("SELECT what, subject FROM audit")
    assert audit[-1] == ("invoice-close", "000001 to 000001, 1 customers")


def test_closed_twice(site: BillingSite) -> None:
    """Done again, closing issues nothing, and changes nothing; the cycle of who was billed stays."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(32)
    assert len(site.bill().issued) == 1
    tables = ("invoices", "invoice_lines", "billed_periods", "ledger_entries", "customers", "audit")
    before = [site.read(f"SELECT * FROM {table}") for table in tables]  # noqa: S608 - our names
    for _ in range(3):
        assert site.bill().issued == []
    assert [site.read(f"SELECT * FROM {table}") for table in tables] == before  # noqa: S608 - our names
    assert site.read("SELECT id, cycle, zone, anchor_day FROM customers") == [("TV-1", "monthly", "UTC", 1)]
    assert site.refused(operations.CUSTOMER_SET, id="TV-1", cycle="weekly")[0] == "period-closed"


def test_nobody_subscribed(site: BillingSite) -> None:
    """Without subscribers there is nothing to close, and the first number is 1 all the same."""
    site.let_days_pass(40)
    answer = site.bill()
    assert (answer.issued, answer.customers, answer.of, answer.next) == ([], 0, 0, None)
    assert site.refused(operations.INVOICE_CLOSE, customer="nobody")[0] == "unknown-customer"
    site.subscribe("TV-2", "news")
    site.let_days_pass(40)
    assert [row.number for row in site.bill().issued] == [1]


def test_late_usage(site: BillingSite) -> None:
    """What a sender reports after a period was billed is a line of that period on the next invoice."""
    site.subscribe("TV-1", "news")
    site.air(1, *every_hour(site.now_ms, 1), size=12 * 10**9)
    site.grant("TV-1", 1, 1)
    site.let_days_pass(32)
    # 12 GB less 2 MB at 0.10 are 1.1998.
    first = _lines(site, 1)[0]
    assert (first.name, first.amount_minor) == ("Data", 120)
    site.tell_late(1, 1, 22 * 10**9)
    assert site.bill().issued == []
    site.let_days_pass(31)
    late = {(line.period_start[:7], line.name): line for line in _lines(site, 2)}
    # 22 GB less 2 MB are 2.1998, of which 1.20 was billed; the tax of January is that on 12.19, less 2.13.
    assert late["2026-01", "Data"].amount_minor == 100
    assert (late["2026-01", "Data"].so_far_minor, late["2026-01", "Data"].billed_minor) == (220, 120)
    assert late["2026-01", "tax"].amount_minor == 232 - 213
    assert late["2026-02", "Subscription"].amount_minor == 999
    site.let_days_pass(31)
    assert {line.period_start[:7] for line in _lines(site, 3)} == {"2026-03"}


def test_very_late_usage(site: BillingSite) -> None:
    """The same half a year later: a period of long ago is rated again, as something of it was recorded."""
    site.subscribe("TV-1", "news")
    site.air(1, *every_hour(site.now_ms, 1), size=12 * 10**9)
    site.grant("TV-1", 1, 1)
    for _ in range(6):
        site.let_days_pass(32)
        site.bill()
    last = site.bill(customer="TV-1").customers
    assert last == 1
    site.tell_late(1, 1, 22 * 10**9)
    site.bill()
    site.let_days_pass(32)
    (row,) = site.bill().issued
    late = [line for line in site.invoice(row.number).lines if line.period_start.startswith("2026-01")]
    assert [(line.name, line.amount_minor) for line in late] == [("Data", 100), ("tax", 19)]


def test_last_bill(site: BillingSite) -> None:
    """Who withdraws gets the last bill at once, by the day; who comes back in the period pays the rest."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(10)
    site.remove("TV-1", "news")
    site.let_days_pass(1)
    # 9.99 for 10 of 31 days are 3.2226.
    assert [(line.name, line.amount_minor) for line in _lines(site, 1)] == [
        ("Subscription", 322),
        ("tax", 61),
    ]
    assert site.bill().issued == []
    assert site.read("SELECT count(*) FROM billed_periods") == [(0,)]
    site.subscribe("TV-1", "news")
    site.let_days_pass(22)
    # 30 of 31 days are 9.6677, of which 3.22 was billed.
    assert [(line.name, line.amount_minor) for line in _lines(site, 2)] == [
        ("Subscription", 645),
        ("tax", 123),
    ]
    site.let_days_pass(31)
    assert _lines(site, 3)[0].amount_minor == 999


def test_waiting(site: BillingSite) -> None:
    """A period waits for an epoch on air that began in it, but no longer than a day."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(30)
    site.clock.advance((DAY_MS - HOUR_MS // 2) * 10**6)
    site.run(site.operator.fetch_nonce())
    epoch = site.begin(1)
    site.grant("TV-1", 1, epoch)
    site.clock.advance(HOUR_MS // 2 * 10**6 + 60 * 10**9)
    site.run(site.operator.fetch_nonce())
    site.keep_alive(1, epoch)
    (waiting,) = site.bill().waiting
    assert waiting.customer == "TV-1"
    assert "news" in waiting.why
    site.clock.advance(HOUR_MS // 2 * 10**6)
    site.run(site.operator.fetch_nonce())
    site.end(1, epoch, 12 * 10**9)
    site.clock.advance(20 * 10**9)
    (row,) = site.bill().issued
    data = next(line for line in site.invoice(row.number).lines if line.name == "Data")
    assert 0 < data.units < 12 * 10**9


def test_waiting_is_over_after_a_day(site: BillingSite) -> None:
    """An epoch that never ends holds a bill up for a day, and is on a later one."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(30)
    epoch = site.begin(1)
    site.grant("TV-1", 1, epoch)
    site.let_days_pass(1)
    site.keep_alive(1, epoch)
    assert site.bill().issued == []
    site.let_days_pass(1)
    site.keep_alive(1, epoch)
    assert len(site.bill().issued) == 1


def test_two_customers_two_currencies(site: BillingSite) -> None:
    """Each customer is billed in the currency of its tariff; one with both has two invoices, each whole."""
    yen = terms(price("Subscription", "periods", 1_000_000_000), tax_ppm=100_000)
    site.add_channel("sport")
    site.ask(operations.TARIFF_ADD, name="yen", currency="JPY", terms=yen, channels=["sport"])
    site.subscribe("TV-1", "news")
    site.subscribe("TV-2", "news")
    site.subscribe("TV-2", "sport")
    site.let_days_pass(32)
    issued = site.bill().issued
    assert [(row.number, row.customer, row.currency, row.decimals, row.total_minor) for row in issued] == [
        (1, "TV-1", "EUR", 2, 1_189),
        (2, "TV-2", "EUR", 2, 1_189),
        (3, "TV-2", "JPY", 0, 1_100),
    ]
    balances = site.read(
        "SELECT account, currency, sum(amount_micro) FROM ledger_postings p"
        " JOIN ledger_entries e ON e.number = p.entry GROUP BY account, currency"
    )
    assert ("subscriber:TV-2", "JPY", 1_100_000_000) in balances
    assert sum(amount for _, _, amount in balances) == 0


def test_many_devices(site: BillingSite) -> None:
    """All devices of a customer are on one invoice, in its own time zone."""
    site.ask(
        operations.CUSTOMER_SET, id="hotel", name="The Hotel", zone="Asia/Tokyo", devices=["TV-1", "TV-2"]
    )
    for device in ("TV-1", "TV-2"):
        site.subscribe(device, "news")
    site.let_days_pass(32)
    (row,) = site.bill().issued
    invoice = site.invoice(row.number)
    assert (invoice.customer, invoice.customer_name, invoice.zone) == ("hotel", "The Hotel", "Asia/Tokyo")
    # In Tokyo the year began 9 hours before; the month has 31 days there as well.
    assert [(line.device, line.name, line.amount_minor) for line in invoice.lines] == [
        ("TV-1", "Subscription", 987),
        ("TV-1", "tax", 188),
        ("TV-2", "Subscription", 987),
        ("TV-2", "tax", 188),
    ]
    assert invoice.lines[0].period_start == "2026-01-01T00:00:00+09:00"
    assert invoice.issued_at == "2026-02-02T09:00:00+09:00"
    site.add_device("TV-3")
    site.ask(operations.CUSTOMER_SET, id="hotel", devices=["TV-3"])
    assert site.refused(operations.CUSTOMER_SET, id="other", devices=["TV-1"])[0] == "period-closed"


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


def test_an_absurd_price_stops_nobody_else(site: BillingSite) -> None:
    """A bill of more money than there is is not issued, and says so; all others are."""
    absurd = terms(price("Gold", "periods", 9 * 10**17))
    site.add_channel("gold")
    site.ask(operations.TARIFF_ADD, name="absurd", currency="EUR", terms=absurd, channels=["gold"])
    site.subscribe("TV-1", "gold")
    site.subscribe("TV-2", "news")
    site.let_days_pass(32)
    answer = site.bill()
    assert [row.customer for row in answer.issued] == ["TV-2"]
    assert [(row.customer, row.why) for row in answer.waiting] == [
        ("TV-1", "it cannot be billed: it would be billed more than there is; look at its tariff")
    ]


def test_nothing_to_pay(site: BillingSite) -> None:
    """Usage that costs nothing is on an invoice of nothing; the ledger has no entry of it."""
    site.add_channel("free")
    data = terms(price("Data", "bytes", 100_000, 10**9, free=10**12))
    site.ask(operations.TARIFF_ADD, name="free", currency="EUR", terms=data, channels=["free"])
    site.subscribe("TV-1", "free")
    site.air(2, *every_hour(site.now_ms, 1))
    site.grant("TV-1", 2, 1)
    site.let_days_pass(32)
    (row,) = site.bill().issued
    assert (row.total_minor, [line.units for line in site.invoice(1).lines]) == (0, [1_000_000])
    assert site.read("SELECT count(*) FROM ledger_entries") == [(0,)]
    site.let_days_pass(31)
    assert site.bill().issued == []
    assert site.read("SELECT count(*) FROM billed_periods") == [(2,)]


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


def test_reports_explain(site: BillingSite) -> None:
    """What a device reported at the end of a reception is on its next invoice, once, and changes no line."""
    site.subscribe("TV-1", "news")
    site.let_days_pass(5)
    site.reported("TV-1", 1, "news", packets=123)
    site.let_days_pass(27)
    site.bill()
    (report,) = site.invoice(1).reported
    assert (report.device, report.channel_name, report.packets) == ("TV-1", "news", 123)
    assert report.ended_at == "2026-01-06T00:00:00+00:00"
    site.let_days_pass(31)
    site.bill()
    assert site.invoice(2).reported == []


def _lines(site: BillingSite, number: int) -> list[InvoiceLine]:
    """Bill, and return the lines of the one invoice that this issues."""
    issued = site.bill().issued
    assert [row.number for row in issued] == [number]
    return site.invoice(number).lines
