"""Owns the demo's bills: what subscribers are to pay, held against what was on the air, and said in lines.

```
TV-1, TV-late    basic     once for the subscription, data beyond an allowance, tax
TV-2             by-key    each key that was granted and on the air
```
The sums are worked out here again, from what the sender said that it sent; nothing is taken from the bills.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from sealcast.messages.invoicing import Invoice, document_number

CURRENCY, TAX_PER_CENT = "EUR", 19
MINOR_PER_MAJOR = 100
SUBSCRIPTION_MINOR, PER_MB_MINOR, PER_KEY_MINOR, FREE_MB = 150, 4, 12, 5
"""Prices for people who watch for half a minute."""

MB = 1_000_000

BASIC, BY_KEY = "basic", "by-key"


def prices() -> dict[str, tuple[str, ...]]:
    """Return the prices of each tariff, as an operator types them."""
    return {
        BY_KEY: (f"Keys: {_amount(PER_KEY_MINOR)} per epoch",),
        BASIC: (
            f"Subscription: {_amount(SUBSCRIPTION_MINOR)} per period",
            f"Data: {_amount(PER_MB_MINOR)} per MB, {FREE_MB} MB free",
        ),
    }


class OnAir(msgspec.Struct, frozen=True, kw_only=True):
    """What was on the air, as the sender says it: keys, packets, bytes of payload."""

    keys: int
    packets: int
    bytes: int


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a bill: how much of what, what it costs, and how that came about."""

    name: str
    units: int
    amount: str
    workings: str


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one subscriber is to pay."""

    number: str
    subscriber: str
    currency: str
    total: str
    lines: list[BillLine]


@dataclass(frozen=True, slots=True)
class Subscribers:
    """Who was billed: two who were there all the time, one of them by key, and one who came late."""

    basic: str
    by_key: str
    late: str


def bills_of(invoices: Sequence[Invoice]) -> list[Bill]:
    """Return invoices as the demo shows them, by subscriber."""
    return [
        Bill(
            number=document_number(invoice.number),
            subscriber=invoice.customer,
            currency=invoice.currency,
            total=_amount(invoice.total_minor),
            lines=[
                BillLine(
                    name=line.name,
                    units=line.units,
                    amount=_amount(line.amount_minor),
                    workings=line.workings,
                )
                for line in invoice.lines
            ],
        )
        for invoice in sorted(invoices, key=lambda each: each.customer)
    ]


def bill_lines(bills: Sequence[Bill], air: OnAir) -> Iterator[str]:
    """Yield the bills as lines for people: what was on the air, then what it costs whom, and why."""
    yield f"bills: on the air were {air.keys} keys, {air.packets:,} packets and {air.bytes:,} bytes of video;"
    yield "  whoever was given a key pays for all that was sent under it"
    for bill in bills:
        yield f"  {bill.subscriber}, invoice {bill.number}"
        for line in bill.lines:
            yield f"    {line.name:<13}{line.amount:>7}   {line.workings}"
        yield f"    {'total':<13}{bill.total:>7}   {bill.currency}"


def bill_faults(invoices: Sequence[Invoice], who: Subscribers, air: OnAir) -> list[str]:
    """Return a line for each thing in the bills that is not what was on the air."""
    by_customer = {invoice.customer: invoice for invoice in invoices}
    names = (who.basic, who.by_key, who.late)
    if len(invoices) != len(names) or set(by_customer) != set(names):
        return [f"bills are of {', '.join(sorted(by_customer)) or 'nobody'}, not of {', '.join(names)}"]
    late = by_customer[who.late]
    size = sum(line.units for line in late.lines if line.quantity == "bytes")
    faults = [
        *_differences(by_customer[who.basic], _basic(air.bytes)),
        *_differences(by_customer[who.by_key], _by_key(air.keys)),
        *_differences(late, _basic(size)),
    ]
    if not 0 < size <= air.bytes:
        faults.append(f"{who.late} came late and is billed {size:,} of {air.bytes:,} bytes")
    return faults


def _basic(size: int) -> dict[str, tuple[int | None, int]]:
    """Return units and cents of each line of the tariff `basic`; of the subscription only what it costs."""
    data_minor = _rounded(PER_MB_MINOR * max(0, size - FREE_MB * MB), MB)
    lines = {"Subscription": (None, SUBSCRIPTION_MINOR), "Data": (size, data_minor)}
    return {**lines, "tax": (None, _rounded((SUBSCRIPTION_MINOR + data_minor) * TAX_PER_CENT, 100))}


def _by_key(keys: int) -> dict[str, tuple[int | None, int]]:
    net_minor = PER_KEY_MINOR * keys
    return {"Keys": (keys, net_minor), "tax": (None, _rounded(net_minor * TAX_PER_CENT, 100))}


def _differences(invoice: Invoice, expected: dict[str, tuple[int | None, int]]) -> Iterator[str]:
    found = {line.name: (line.units, line.amount_minor) for line in invoice.lines}
    for name in expected.keys() | found.keys():
        units, minor = found.get(name, (0, 0))
        wanted_units, wanted_minor = expected.get(name, (0, 0))
        if minor != wanted_minor or wanted_units not in {None, units}:
            yield (
                f"{invoice.customer} is billed {units:,} units for {_amount(minor)} as {name},"
                f" and was to be billed {wanted_units or units:,} for {_amount(wanted_minor)}"
            )
    if invoice.total_minor != sum(line.amount_minor for line in invoice.lines):
        yield f"the lines of {invoice.customer} do not add up to {_amount(invoice.total_minor)}"


def _rounded(numerator: int, denominator: int) -> int:
    """Return a quotient of what is not below 0, to the nearest; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _amount(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // MINOR_PER_MAJOR}.{abs(minor) % MINOR_PER_MAJOR:02}"
