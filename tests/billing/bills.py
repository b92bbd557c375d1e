"""Owns the bills that tests make documents of: with lines of all kinds, and by somebody who means harm."""

import msgspec

from sealcast.messages.bookkeeping import Statement, StatementLine
from sealcast.messages.invoicing import Invoice, InvoiceLine, ReportedEnd

FEBRUARY = {"period_start": "2026-02-01T00:00:00+01:00", "period_end": "2026-03-01T00:00:00+01:00"}
MARCH = {"period_start": "2026-03-01T00:00:00+01:00", "period_end": "2026-04-01T00:00:00+02:00"}
NEWS = {"device": "TV-0001", "channel": 1, "channel_name": "news"}
FILM = {"device": "TV-0002", "channel": 2, "channel_name": "film"}
BASIC = {"tariff": "basic", "valid_from": "2026-01-01T00:00:00+01:00"}
HOURLY = {"tariff": "film by the hour", "valid_from": "2026-03-15T12:00:00+01:00"}

HOSTILE = "#panic() \\ $x$ <script>alert(1)</script> *b* `c` @ref // /* \" ' &amp; #{1+1} ]"
"""What typst, HTML or a shell would do something with."""

FOREIGN = ("Ольга Кузнецова", "Αλέξανδρος", "محمد علي", "יעל כהן", "Zażółć gęślą jaźń", "李小龍")
"""Names in scripts of the world."""


def line(  # noqa: PLR0917 - a row of a table, below
    number: int,
    of: dict[str, object],
    name: str,
    quantity: str | None,
    units: int,
    workings: str,
    so_far: int,
    billed: int = 0,
    *,
    tax_ppm: int = 0,
) -> InvoiceLine:
    """Return a line; `of` are its device, channel, period and tariff."""
    told = {
        "line": number,
        "name": name,
        "quantity": quantity,
        "units": units,
        "workings": workings,
        "so_far_minor": so_far,
        "billed_minor": billed,
        "amount_minor": so_far - billed,
        "is_tax": bool(tax_ppm),
        "tax_ppm": tax_ppm,
    }
    return msgspec.convert({**of, **told}, InvoiceLine)


def invoice() -> Invoice:
    """Return an invoice of two devices, two periods and two tariffs, with late usage, a cap and tax."""
    late, news, film = NEWS | FEBRUARY | BASIC, NEWS | MARCH | BASIC, FILM | MARCH | HOURLY
    steps = (
        "5,000,000,000 bytes free, 100,000,000,000 bytes at 0.10 per 1,000,000,000 = 10,"
        " 507,345,678,901 bytes at 0.05 per 1,000,000,000 = 25.367284"
    )
    data = "5,000,000,000 bytes free, 107,345,678,901 bytes at 0.10 per 1,000,000,000 = 10.734568"
    lines = [
        line(1, late, "Data", "bytes", 112_345_678_901, data, 1073, 1051),
        line(2, late, "tax", None, 0, "19 % of 10.73 = 2.0387", 204, 200, tax_ppm=190_000),
        line(3, news, "Subscription", "periods", 2_674_800_000, "all of the period: 9.99", 999),
        line(4, news, "Data", "bytes", 612_345_678_901, steps, 3537),
        line(5, news, "minimum or cap", None, 0, "at most 40.00 a period", -536),
        line(6, news, "tax", None, 0, "19 % of 40.00 = 7.60", 760, tax_ppm=190_000),
        line(7, film, "Time", "received-ms", 90_061_500, "25 h 1 min 1.5 s at 0.30 per h = 7.505125", 751),
        line(8, film, "Keys", "epochs", 1, "1 key epoch at 0.01 = 0.01", 1),
    ]
    reported = ReportedEnd(
        device="TV-0002",
        channel_name="film",
        ended_at="2026-03-20T22:04:11+01:00",
        reason="withdrawn",
        packets=8_123_456,
        last_index=8_200_101,
    )
    return Invoice(
        kind="invoice",
        number=123,
        operator="Coast TV",
        customer="household-7",
        customer_name="Ada Lovelace",
        currency="EUR",
        decimals=2,
        issued_at="2026-04-01T00:00:15+02:00",
        cycle="monthly",
        zone="Europe/Berlin",
        lines=lines,
        net_minor=4774,
        tax_minor=764,
        total_minor=5538,
        reported=[reported],
    )


def credit_note() -> Invoice:
    """Return a credit note on one line of the invoice and its tax."""
    news = NEWS | MARCH | BASIC
    lines = [
        line(3, news, "Subscription", "periods", 2_674_800_000, "9.99 asked, 9.99 credited", 0, 999),
        line(6, news, "tax", None, 0, "7.60 asked, 1.90 credited, 5.70 left", 570, 760, tax_ppm=190_000),
    ]
    return msgspec.structs.replace(
        invoice(),
        kind="credit-note",
        number=124,
        lines=lines,
        net_minor=-999,
        tax_minor=-190,
        total_minor=-1189,
        corrects=123,
        reason="half of March was dark",
        reported=[],
    )


def hostile() -> Invoice:
    """Return an invoice whose every text is written by somebody who means harm, or in another script."""
    lines = [
        msgspec.structs.replace(
            each,
            device=HOSTILE[: 40 + place],
            channel_name=FOREIGN[place % len(FOREIGN)],
            name=f"={HOSTILE[:60]}",
            tariff=HOSTILE[:64],
            workings=HOSTILE + FOREIGN[(place + 1) % len(FOREIGN)],
        )
        for place, each in enumerate(invoice().lines)
    ]
    return msgspec.structs.replace(
        invoice(),
        operator=f"=1+1 {HOSTILE}",
        customer="A" * 128,
        customer_name=f"@SUM(A1) {HOSTILE}",
        currency="EUR",
        lines=lines,
        reason=f"-1 {HOSTILE}\nsecond line \u202eback",
    )


def statement() -> Statement:
    """Return what a broadcaster is owed by two contracts, in parts of a cent."""
    share = StatementLine(
        contract=1,
        channel=1,
        channel_name="news",
        billed_micro=4_022_000_000,
        share_micro=1_407_700_000,
        units=0,
        units_micro=0,
        minimum_micro=500_000_000,
        amount_micro=1_407_700_000,
        workings="35 % of 4,022 = 1,407.70",
    )
    minimum = StatementLine(
        contract=4,
        channel=2,
        channel_name="film",
        billed_micro=7_520_000,
        share_micro=2_506_667,
        units=90_061_500,
        units_micro=0,
        minimum_micro=12_903_226,
        amount_micro=12_903_226,
        workings="33.3333 % of 7.52 = 2.506667; minimum 25 for 16 of 31 days = 12.903226",
    )
    return Statement(
        number=3,
        operator="Coast TV",
        broadcaster="North Sea Films",
        currency="EUR",
        decimals=2,
        period_start="2026-03-01T00:00:00+01:00",
        period_end="2026-04-01T00:00:00+02:00",
        issued_at="2026-04-01T00:10:00+02:00",
        lines=[share, minimum],
        amount_micro=1_420_603_226,
    )
