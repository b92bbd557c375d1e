"""Owns rating: what one period of one subscription costs so far, line by line, and what of it is billed now.

```
usage, tariff ──► charges, micro-units ──► lines: round(cumulative) less billed before ──► this bill
```
All of it is worked out anew from all usage of the period, so order, repetition and the number of bills change
nothing: the bills of a period add up to what one bill of it would say.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sealcast.billing.periods import LAST_MS, Period
from sealcast.billing.tariffs import Quantity, Tariff, TariffVersion, round_ratio
from sealcast.billing.usage import Amounts, Usage, UsageEvent, collect, split_event
from sealcast.core.errors import LocalError
from sealcast.ledger.money import currency

TAX_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """When somebody was subscribed: `start_ms` ≤ t < `end_ms`, None while it goes on."""

    start_ms: int
    end_ms: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """Names a line of a period: the version of the tariff by its first instant, and the price's name.

    The lines that limits and taxes make have names of their own, in `LIMIT` and `TAX`.
    """

    valid_from_ms: int
    name: str


LIMIT, TAX = "minimum or cap", "tax"


@dataclass(frozen=True, slots=True)
class Charge:
    """One line's workings: so many units in the period so far cost so much, in micro-units.

    `before` units of the period were charged at an earlier version of the same price: they come first where
    units are free or steps begin. `whole_ms` is what a price for a period is prorated by; None for others.
    """

    key: LineKey
    quantity: Quantity
    units: int
    micro: int
    before: int = 0
    whole_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill in minor units: all of the period so far, what was billed of it, what is due now."""

    key: LineKey
    charge: Charge | None
    cumulative_minor: int
    billed_minor: int

    @property
    def due_minor(self) -> int:
        """What this bill asks for."""
        return self.cumulative_minor - self.billed_minor


@dataclass(frozen=True, slots=True)
class Rated:
    """A period as rated so far: its lines in order, tax last."""

    period: Period
    currency: str
    lines: tuple[Line, ...]

    @property
    def due_minor(self) -> int:
        """The sum of the lines: what is to be paid now."""
        return sum(line.due_minor for line in self.lines)


def rate(
    tariff: Tariff,
    period: Period,
    spans: Iterable[Span],
    events: Iterable[UsageEvent] | Usage,
    *,
    until_ms: int,
    billed_minor: Mapping[LineKey, int],
    is_final: bool,
) -> Rated:
    """Return the lines of a period up to `until_ms`.

    `events` may reach beyond the period: what lies outside of it is not counted; those that share a turn of
    the schedule with one inside have to be among them. Who rates several periods of them calls `collect`
    once. `billed_minor` is what earlier bills of this period asked for, by line. A minimum is asked for once
    the period `is_final`: over, or the subscription ended. A line that was billed and is charged no more pays
    that back. Some 300,000 events a second, `collect` included, as long as few of them reach over an edge.
    """
    period_end_ms = LAST_MS if period.end_ms is None else period.end_ms
    held = merge_spans(spans, period.start_ms, min(until_ms, period_end_ms))
    usage = events if isinstance(events, Usage) else collect(events)
    by_version = _by_version(tariff, (period.start_ms, period_end_ms), held, usage)
    whole_ms = period.length_ms
    if whole_ms is None:
        whole_ms = sum(last - first for first, last in held)
    charges = _charges(by_version, whole_ms)
    coin = currency(tariff.currency)
    cumulative = {charge.key: coin.round_micro(charge.micro) for charge in charges}
    workings = {charge.key: charge for charge in charges}
    if by_version:
        _limit(by_version, cumulative, whole_ms, coin.round_micro, is_final=is_final)
        _tax(by_version, cumulative)
    for key in billed_minor:
        cumulative.setdefault(key, 0)
    lines = tuple(
        Line(key, workings.get(key), cumulative[key], billed_minor.get(key, 0))
        for key in sorted(cumulative, key=lambda each: (each.name == TAX, each))
    )
    return Rated(period, tariff.currency, lines)


def merge_spans(spans: Iterable[Span], start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
    """Return the parts of a period in which any span lies, in order and without overlap."""
    merged: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda each: each.start_ms):
        first = max(span.start_ms, start_ms)
        last = end_ms if span.end_ms is None else min(span.end_ms, end_ms)
        if last <= first:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class _VersionUsage:
    """What falls under one version: ms subscribed, and the amounts of events."""

    subscribed_ms: int
    amounts: Amounts


def _by_version(
    tariff: Tariff, span_ms: tuple[int, int], held: Sequence[tuple[int, int]], usage: Usage
) -> list[tuple[TariffVersion, _VersionUsage]]:
    """Return the versions that something of a span falls under, each with its usage, in order of time."""
    limits = (span_ms[0], *tariff.cuts(*span_ms), span_ms[1])
    found = []
    for (first, last), amounts in zip(pairwise(limits), amounts_between(limits, usage), strict=True):
        version = tariff.version_at(first)
        subscribed_ms = sum(max(0, min(last, end) - max(first, start)) for start, end in held)
        if version is not None and (subscribed_ms or amounts != _NOTHING):
            found.append((version, _VersionUsage(subscribed_ms, amounts)))
    return found


_NOTHING = Amounts()


def amounts_between(limits: Sequence[int], usage: Usage) -> list[Amounts]:
    """Return what falls between each two neighbours of `limits`, rising instants.

    Of an event that reaches over one, the time, bytes and packets are split; the others are only added up.
    """
    sums = [[0, 0, 0] for _ in limits[1:]]
    place = 0
    for event in usage.within(limits[0], limits[-1]):
        start_ms, end_ms = event.start_ms, event.end_ms
        while start_ms >= limits[place + 1]:
            place += 1
        if limits[place] <= start_ms and end_ms <= limits[place + 1]:
            tally = sums[place]
            tally[0] += end_ms - start_ms
            tally[1] += event.bytes
            tally[2] += event.packets
        else:
            _add_parts(event, limits, sums)
    begun = [usage.turns_within(first, last) for first, last in pairwise(limits)]
    return [Amounts(tally[0], tally[1], tally[2], epochs) for tally, epochs in zip(sums, begun, strict=True)]


def _add_parts(event: UsageEvent, limits: Sequence[int], sums: list[list[int]]) -> None:
    """Add the parts of an event to the sums of what they lie between."""
    if event.start_ms < event.end_ms <= limits[0]:
        return
    for start_ms, part in split_event(event, limits):
        place = bisect_right(limits, start_ms) - 1
        if 0 <= place < len(sums):
            tally = sums[place]
            tally[0] += part.received_ms
            tally[1] += part.bytes
            tally[2] += part.packets


def _charges(by_version: Sequence[tuple[TariffVersion, _VersionUsage]], whole_ms: int) -> list[Charge]:
    """Return the charges of all prices of all versions, in order of time.

    A price that goes on in the next version under its name goes on counting there: a period has its free
    units once, and its steps begin once, however often prices change in it.
    """
    charges: list[Charge] = []
    counted: dict[tuple[str, Quantity], int] = {}
    for version, usage in by_version:
        for price in version.prices:
            key = LineKey(version.valid_from_ms, price.name)
            if price.quantity is Quantity.PERIODS:
                micro = _prorated(price.steps[0].price_micro, usage.subscribed_ms, whole_ms)
                charges.append(Charge(key, price.quantity, usage.subscribed_ms, micro, whole_ms=whole_ms))
                continue
            before = counted.get((price.name, price.quantity), 0)
            units = _units(price.quantity, usage)
            counted[price.name, price.quantity] = before + units
            micro = price.charge_micro(units, before)
            charges.append(Charge(key, price.quantity, units, micro, before))
    return charges


def _prorated(micro: int, part_ms: int, whole_ms: int) -> int:
    """Return the share of an amount that a part of a period comes to; of nothing, nothing."""
    return round_ratio(micro * part_ms, whole_ms) if whole_ms else 0


def _units(quantity: Quantity, usage: _VersionUsage) -> int:
    match quantity:
        case Quantity.SUBSCRIBED_MS:
            return usage.subscribed_ms
        case Quantity.RECEIVED_MS:
            return usage.amounts.received_ms
        case Quantity.BYTES:
            return usage.amounts.bytes
        case Quantity.PACKETS:
            return usage.amounts.packets
        case Quantity.EPOCHS:
            return usage.amounts.epochs
    raise LocalError(f"nothing counts {quantity}")


def _limit(
    by_version: Sequence[tuple[TariffVersion, _VersionUsage]],
    cumulative: dict[LineKey, int],
    whole_ms: int,
    to_minor: Callable[[int], int],
    *,
    is_final: bool,
) -> None:
    """Add the line that brings a period within minimum and cap, those of the version at its beginning."""
    version = by_version[0][0]
    asked = limited = sum(cumulative.values())
    if is_final:
        part_ms = sum(usage.subscribed_ms for _, usage in by_version)
        limited = max(limited, to_minor(_prorated(version.minimum_micro, part_ms, whole_ms)))
    if version.cap_micro is not None:
        limited = min(limited, to_minor(version.cap_micro))
    if limited != asked:
        cumulative[LineKey(version.valid_from_ms, LIMIT)] = limited - asked


def _tax(by_version: Sequence[tuple[TariffVersion, _VersionUsage]], cumulative: dict[LineKey, int]) -> None:
    """Add the tax of each version on what its lines come to."""
    for version, _ in by_version:
        if version.tax_ppm:
            net = sum(
                minor for key, minor in cumulative.items() if key.valid_from_ms == version.valid_from_ms
            )
            cumulative[LineKey(version.valid_from_ms, TAX)] = round_ratio(net * version.tax_ppm, TAX_PPM)
