"""Shows closing on the database: every period billed once, whoever closes, whenever, in whatever pieces."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import sqlalchemy as sa

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


@pytest.mark.parametrize(("before", "after"), [("Europe/Berlin", "UTC"), ("UTC", "Europe/Berlin")])
def test_a_zone_whose_rules_were_others(site: BillingSite, before: str, after: str) -> None:
    """Its midnights turn out to be an hour off when two months are billed: no hour is billed twice."""
    begun_ms = site.now_ms
    site.ask(operations.CUSTOMER_SET, id="TV-1", zone=before)
    site.subscribe("TV-1", "news")
    for _ in range(2):
        site.let_days_pass(31)
        site.bill()
    told = sa.text("UPDATE customers SET zone = :zone")
    site.look(lambda connection: connection.execute(told, {"zone": after}).close())
    for _ in range(4):
        site.let_days_pass(31)
        site.bill()
    periods = site.read("SELECT start_ms, end_ms FROM billed_periods ORDER BY start_ms")
    assert len(periods) >= 5
    assert all(one[1] == other[0] for one, other in pairwise(periods))
    asked = site.read(
        "SELECT period_start_ms, units FROM invoice_lines WHERE name = 'Subscription' ORDER BY 1"
    )
    assert asked == [(start_ms, end_ms - max(start_ms, begun_ms)) for start_ms, end_ms in periods]
