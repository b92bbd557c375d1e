"""Owns rating: what one period of one subscription costs so far, line by line, and what of it is billed now.

```
usage, tariff ──► charges, micro-units ──► lines: round(cumulative) less billed before ──► this bill
```
All of it is worked out anew from all usage of the period, so order, repetition and the number of bills change
nothing: the bills of a period add up to what one bill of it would say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sealcast.billing.periods import Period
from sealcast.billing.tariffs import Price, Quantity, Tariff, TariffVersion, round_ratio
from sealcast.billing.usage import Amounts, UsageEvent, first_of_turns, split_event, unique
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
    """One line's workings: so many units in the period so far cost so much, in micro-units."""

    key: LineKey
    quantity: Quantity
    units: int
    micro: int


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
    events: Iterable[UsageEvent],
    *,
    until_ms: int,
    billed_minor: Mapping[LineKey, int],
    is_final: bool,
) -> Rated:
    """Return the lines of a period up to `until_ms`.

    `events` may reach beyond the period: what lies outside of it is not counted; those that share a turn of
    the schedule with one inside have to be among them. `billed_minor` is what
    earlier bills of this period asked for, by line. A minimum is asked for once the period `is_final`:
    over, or the subscription ended. A line that was billed and is charged no more pays that back.
    """
    end_ms = until_ms if period.end_ms is None else min(until_ms, period.end_ms)
    held = merge_spans(spans, period.start_ms, end_ms)
    by_version = _collect(tariff, period, held, unique(events), end_ms)
    charges = [charge for version, usage in by_version for charge in _charges(version, usage, period)]
    coin = currency(tariff.currency)
    cumulative = {charge.key: coin.round_micro(charge.micro) for charge in charges}
    workings = {charge.key: charge for charge in charges}
    if by_version:
        _limit(by_version, charges, cumulative, period, coin.round_micro, is_final=is_final)
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


def _collect(
    tariff: Tariff,
    period: Period,
    held: Sequence[tuple[int, int]],
    events: Sequence[UsageEvent],
    end_ms: int,
) -> list[tuple[TariffVersion, _VersionUsage]]:
    """Return the versions that something falls under, each with its usage, in order of time."""
    cuts = tariff.cuts(period.start_ms, end_ms)
    bounds = (period.start_ms, *cuts, end_ms)
    subscribed: dict[int, int] = {}
    versions: dict[int, TariffVersion] = {}
    for first, last in pairwise(bounds):
        version = tariff.version_at(first)
        inside = sum(max(0, min(last, b) - max(first, a)) for a, b in held)
        if version is not None and inside:
            versions[version.valid_from_ms] = version
            subscribed[version.valid_from_ms] = subscribed.get(version.valid_from_ms, 0) + inside
    amounts: dict[int, Amounts] = {}

    def add(instant_ms: int, part: Amounts) -> None:
        version = tariff.version_at(instant_ms)
        if version is not None:
            versions[version.valid_from_ms] = version
            amounts[version.valid_from_ms] = amounts.get(version.valid_from_ms, Amounts()) + part

    limits = (period.start_ms, *cuts) if period.end_ms is None else (period.start_ms, *cuts, period.end_ms)
    for event in events:
        for start_ms, part in split_event(event, limits):
            is_inside = period.start_ms <= start_ms and (period.end_ms is None or start_ms < period.end_ms)
            if is_inside:
                add(start_ms, part)
    for begin_ms in first_of_turns(events):
        if period.start_ms <= begin_ms and (period.end_ms is None or begin_ms < period.end_ms):
            add(begin_ms, Amounts(epochs=1))
    return [
        (versions[key], _VersionUsage(subscribed.get(key, 0), amounts.get(key, Amounts())))
        for key in sorted(versions)
    ]


def _charges(version: TariffVersion, usage: _VersionUsage, period: Period) -> list[Charge]:
    return [_charge(price, version, usage, period) for price in version.prices]


def _charge(price: Price, version: TariffVersion, usage: _VersionUsage, period: Period) -> Charge:
    key = LineKey(version.valid_from_ms, price.name)
    if price.quantity is Quantity.PERIODS:
        part, whole = _share(usage.subscribed_ms, period)
        micro = round_ratio(price.steps[0].price_micro * part, whole)
        return Charge(key, price.quantity, usage.subscribed_ms, micro)
    units = _units(price.quantity, usage)
    return Charge(key, price.quantity, units, price.charge_micro(units))


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


def _share(subscribed_ms: int, period: Period) -> tuple[int, int]:
    """Return which part of a period somebody had; of one that only its customer ends, the whole."""
    length_ms = period.length_ms
    return (1, 1) if length_ms is None else (subscribed_ms, length_ms)


def _limit(
    by_version: Sequence[tuple[TariffVersion, _VersionUsage]],
    charges: Sequence[Charge],
    cumulative: dict[LineKey, int],
    period: Period,
    to_minor: Callable[[int], int],
    *,
    is_final: bool,
) -> None:
    """Add the line that brings a period within minimum and cap, those of the version at its beginning."""
    version = by_version[0][0]
    part, whole = _share(sum(usage.subscribed_ms for _, usage in by_version), period)
    asked = limited = sum(charge.micro for charge in charges)
    if is_final:
        limited = max(limited, round_ratio(version.minimum_micro * part, whole))
    if version.cap_micro is not None:
        limited = min(limited, version.cap_micro)
    if limited != asked:
        cumulative[LineKey(version.valid_from_ms, LIMIT)] = to_minor(limited) - sum(cumulative.values())


def _tax(by_version: Sequence[tuple[TariffVersion, _VersionUsage]], cumulative: dict[LineKey, int]) -> None:
    """Add the tax of each version on what its lines come to."""
    for version, _ in by_version:
        if version.tax_ppm:
            net = sum(
                minor for key, minor in cumulative.items() if key.valid_from_ms == version.valid_from_ms
            )
            cumulative[LineKey(version.valid_from_ms, TAX)] = round_ratio(net * version.tax_ppm, TAX_PPM)
