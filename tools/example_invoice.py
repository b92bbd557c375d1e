"""Makes docs/examples: an invoice as JSON, HTML, PDF and picture, from usage that it makes up.

Run as `PYTHONPATH=src python tools/example_invoice.py docs/examples`; it needs `sealcast[server,invoice]`.
"""

# ruff: noqa: INP001 - a program, not in a package

import sys
from pathlib import Path

import typst

from sealcast.billing import pdf
from sealcast.billing.closing import Draft, draft
from sealcast.billing.documents import Form, file_name, read_document, render, sheet_of_bytes
from sealcast.billing.facts import AccountFacts, Billed, SubscriptionFacts
from sealcast.billing.issuing import bills, issue_bill
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.pricelines import parse_price
from sealcast.billing.rating import LineKey, Span
from sealcast.billing.tariffs import Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, Timeline, timelines
from sealcast.billing.usage import UsageEvent
from sealcast.cli.instants import parse_instant
from sealcast.messages.invoicing import ReportedEnd

NUMBER = 123
HOUR_MS = 3_600_000
STREAM_BYTES_PER_S = 750_000
PACKET_BYTES = 1_316
SETTLE_MS, WAIT_MS = 15_000, 24 * HOUR_MS
PICTURE_PPI = 96.0
TAX_PPM = 190_000
YEAR = "2026-01-01T00:00+01:00"

BASIC = ("Subscription: 9.99 per period", "Data: 0.10 per GB, 100 GB free")
FILM = ("Film hours: 0.30 per hour received",)


def instant(text: str) -> int:
    """Return an instant of the story in ms."""
    return parse_instant(text)


def tariff(name: str, since: str, *prices: str) -> Tariff:
    """Return a tariff in euros of one version."""
    lines = tuple(parse_price(each) for each in prices)
    version = TariffVersion("EUR", instant(since), lines, tax_ppm=TAX_PPM)
    return Tariff(name, (version,))


def evenings(device: str, channel: int, month: str, days: range, hours: int) -> tuple[UsageEvent, ...]:
    """Return the usage of some hours from 20:00 UTC on of some days of a month, an epoch an hour."""
    events = []
    for day in days:
        begin_ms = instant(f"{month}-{day:02}T20:00Z")
        for hour in range(hours):
            epoch = day * 24 + hour
            total_bytes = STREAM_BYTES_PER_S * HOUR_MS // 1_000
            events.append(
                UsageEvent(
                    id=f"{channel}/{month}-{epoch}/{device}",
                    start_ms=begin_ms + hour * HOUR_MS,
                    end_ms=begin_ms + (hour + 1) * HOUR_MS,
                    bytes=total_bytes,
                    packets=total_bytes // PACKET_BYTES,
                    turn=f"{channel}/{month}-{epoch}",
                )
            )
    return tuple(events)


def account(feb: tuple[UsageEvent, ...], closed_ms: frozenset[int], billed: Draft | None) -> AccountFacts:
    """Return what is known of the Lovelaces; `billed` is the draft of the bill before."""
    tariffs = {"basic": tariff("basic", YEAR, *BASIC), "film": tariff("film", YEAR, *FILM)}
    march = evenings("TV-0001", 1, "2026-03", range(1, 31), 3)
    news = SubscriptionFacts(
        device="TV-0001",
        channel=1,
        channel_name="news",
        spans=(Span(instant("2026-02-10T18:30Z")),),
        timelines=_on("basic", "TV-0001", tariffs),
        events=feb + march,
        billed=_billed(billed),
    )
    film = SubscriptionFacts(
        device="TV-0002",
        channel=2,
        channel_name="film",
        spans=(Span(instant("2026-03-05T12:00Z"), instant("2026-03-20T21:04:11Z")),),
        timelines=_on("film", "TV-0002", tariffs),
        events=evenings("TV-0002", 2, "2026-03", range(5, 20), 2),
    )
    cycle = BillingCycle(PeriodKind.MONTHLY, "Europe/Berlin", 1)
    return AccountFacts("household-7", "Ada Lovelace", cycle, (news, film), closed_ms)


def _on(name: str, device: str, tariffs: dict[str, Tariff]) -> tuple[Timeline, ...]:
    return timelines([Assignment(instant(YEAR), name)], device, tariffs)


def _billed(before: Draft | None) -> dict[tuple[str, int], dict[LineKey, Billed]]:
    told: dict[tuple[str, int], dict[LineKey, Billed]] = {}
    for bill in () if before is None else before.invoices:
        for line in bill.lines:
            of_period = told.setdefault((bill.currency, line.period.start_ms), {})
            of_period[line.key] = Billed(line.due_minor, line.added_units)
    return told


def example() -> bytes:
    """Return the invoice for March: a first bill of February came before, and more was heard of it since."""
    told, late = evenings("TV-0001", 1, "2026-02", range(11, 27), 3), range(27, 29)
    march_ms, april_ms = instant("2026-03-01T00:00:15+01:00"), instant("2026-04-01T00:00:15+02:00")
    before = draft(account(told, frozenset(), None), march_ms, SETTLE_MS, WAIT_MS)
    february = frozenset(period.start_ms for period in before.closes)
    known = told + evenings("TV-0001", 1, "2026-02", late, 3)
    facts = account(known, february, before)
    reported = ReportedEnd(
        device="TV-0002",
        channel_name="film",
        ended_at="2026-03-20T22:04:11+01:00",
        reason="withdrawn",
        packets=61_549_012,
        last_index=61_551_220,
    )
    now = draft(facts, april_ms, SETTLE_MS, WAIT_MS)
    (bill,) = bills(facts, now.invoices[0], "Coast TV", [reported])
    return issue_bill(bill, NUMBER, april_ms).document


def main(folder: Path) -> None:
    """Write the example in each form, and its first page as a picture."""
    data = example()
    document = read_document(data)
    for form in Form:
        (folder / file_name(document, form)).write_bytes(render(data, form))
    bill = pdf._bill(sheet_of_bytes(data, document))  # noqa: SLF001 - the picture shows that very page
    page = pdf._page()  # noqa: SLF001 - as above
    picture = typst.compile(
        page, format="png", ppi=PICTURE_PPI, sys_inputs={"bill": bill}, ignore_system_fonts=True
    )
    (folder / "invoice.png").write_bytes(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
