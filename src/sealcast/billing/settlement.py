"""Owns settlement: what broadcasters are owed of a month by contract, from what invoices asked for.

```
EUR on news, net   ├──── 60.00 ────┼────────── 40.00 ─────────┤   invoices less credit notes, as issued
                   │ one 1/2  30   │ one 1/2  20              │
                   │ two 1/4  15   │ two 1/3  13.333333       │   each piece divided to the last micro-unit
                   │ operator 15   │ operator  6.666667       │
```
A month that brought more credit than invoices has shares below 0: they stay on the broadcaster's account and
are set off against other months. A minimum is on top of what the month itself brought, and less than nothing
counts as nothing there: so no credit is lost in a minimum, and no minimum in a credit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import lcm

from sealcast.billing.contracts import Contract, share_text
from sealcast.billing.periods import BillingCycle
from sealcast.billing.tariffs import round_ratio
from sealcast.billing.wording import duration_text, units_text
from sealcast.core.errors import LocalError
from sealcast.ledger.entries import divide
from sealcast.ledger.money import currency, format_micro


@dataclass(frozen=True, slots=True)
class Month:
    """What one statement is of: `start_ms` ≤ t < `end_ms` of a calendar month that lasts `whole_ms`."""

    start_ms: int
    end_ms: int
    whole_ms: int


@dataclass(frozen=True, slots=True)
class Billed:
    """What invoices issued at `at_ms` asked for on one channel, net of tax: an amount, units of a quantity.

    Any number of lines in one: between two changes of contracts only their sums count.
    """

    channel: int
    currency: str
    at_ms: int
    quantity: str | None
    units: int
    minor: int


@dataclass(frozen=True, slots=True)
class Due:
    """What one contract comes to in a month, in micro-units; `minimum_micro` is what its minimum adds."""

    contract: Contract
    billed_micro: int
    share_micro: int
    units: int
    units_micro: int
    minimum_micro: int
    workings: str

    @property
    def amount_micro(self) -> int:
        """All of it."""
        return self.share_micro + self.units_micro + self.minimum_micro


def months(
    contracts: Sequence[Contract], settled_until_ms: int, now_ms: int, cycle: BillingCycle
) -> Iterator[Month]:
    """Give the months that are over and not settled, of one broadcaster's `contracts` in one currency.

    In order; months without any of them in force are left out. What is settled is never settled again, also
    if the operator moved to another time zone: the next month begins where the last one ended.
    """
    if not contracts:
        return
    at_ms = max(settled_until_ms, min(each.from_ms for each in contracts))
    while at_ms < now_ms:
        period = cycle.period_at(at_ms)
        if period.end_ms is None or period.end_ms > now_ms:
            return
        start_ms = max(period.start_ms, settled_until_ms)
        if any(each.overlap_ms(start_ms, period.end_ms) for each in contracts):
            yield Month(start_ms, period.end_ms, period.end_ms - period.start_ms)
        at_ms = period.end_ms


def cuts(contracts: Iterable[Contract], month: Month) -> tuple[int, ...]:
    """Return the instants at which pieces of a month begin: at its first, and where contracts change."""
    bounds = {bound for each in contracts for bound in (each.from_ms, each.until_ms) if bound is not None}
    return (month.start_ms, *sorted(each for each in bounds if month.start_ms < each < month.end_ms))


def settle(contracts: Iterable[Contract], billed: Iterable[Billed], month: Month) -> tuple[Due, ...]:
    """Return what each contract that is in force in a month comes to, by number.

    `contracts` are all there are: those who share a channel are given what adds up. The order of `billed`,
    and into how many parts it is split, change nothing. Costs the contracts times the pieces of the month.
    """
    by_subject: dict[tuple[int, str], list[Contract]] = {}
    for each in sorted(contracts, key=lambda one: one.number):
        if each.overlap_ms(month.start_ms, month.end_ms):
            by_subject.setdefault((each.channel, each.currency), []).append(each)
    told: dict[tuple[int, str], list[Billed]] = {subject: [] for subject in by_subject}
    for line in billed:
        subject = line.channel, line.currency
        if subject in told and month.start_ms <= line.at_ms < month.end_ms:
            told[subject].append(line)
    dues = [due for subject, group in by_subject.items() for due in _subject(group, told[subject], month)]
    return tuple(sorted(dues, key=lambda due: due.contract.number))


def share_out(amount_micro: int, contracts: Sequence[Contract]) -> tuple[tuple[int, ...], int]:
    """Return what each contract's share of an amount is, and what is left for the operator; all adds up.

    Micro-units that do not divide go to the largest remainders, the first of equal ones, the operator last.
    """
    whole = lcm(*(each.share_of for each in contracts))
    weights = [each.share_parts * whole // each.share_of for each in contracts]
    left = whole - sum(weights)
    if left < 0:
        raise LocalError("contracts give away more than all that is billed")
    *parts, rest = divide(amount_micro, (*weights, left))
    return tuple(parts), rest


def _subject(contracts: Sequence[Contract], lines: Sequence[Billed], month: Month) -> Iterator[Due]:
    """Settle the contracts of one channel and currency."""
    shares = dict.fromkeys((each.number for each in contracts), 0)
    coin_micro = currency(contracts[0].currency).micro_per_minor
    starts = cuts(contracts, month)
    for start_ms, end_ms in zip(starts, (*starts[1:], month.end_ms), strict=True):
        sharing = [each for each in contracts if each.is_in_force(start_ms)]
        amount_micro = coin_micro * sum(line.minor for line in lines if start_ms <= line.at_ms < end_ms)
        if sharing:
            for each, part in zip(sharing, share_out(amount_micro, sharing)[0], strict=True):
                shares[each.number] += part
    for each in contracts:
        own = [line for line in lines if each.is_in_force(line.at_ms)]
        yield _due(each, own, shares[each.number], month)


def _due(contract: Contract, lines: Sequence[Billed], share_micro: int, month: Month) -> Due:
    """Add to a share what units and minimum come to."""
    coin_micro = currency(contract.currency).micro_per_minor
    units = sum(line.units for line in lines if contract.unit is not None and line.quantity == contract.unit)
    units_micro = round_ratio(units * contract.unit_price_micro, contract.unit_per)
    in_force_ms = contract.overlap_ms(month.start_ms, month.end_ms)
    least_micro = round_ratio(contract.minimum_micro * in_force_ms, month.whole_ms)
    billed_micro = coin_micro * sum(line.minor for line in lines)
    return Due(
        contract=contract,
        billed_micro=billed_micro,
        share_micro=share_micro,
        units=units,
        units_micro=units_micro,
        minimum_micro=max(0, least_micro - max(0, share_micro + units_micro)),
        workings="; ".join(
            [
                *_share_words(contract, billed_micro, share_micro),
                *_unit_words(contract, units, units_micro),
                *_minimum_words(contract, in_force_ms, month.whole_ms, least_micro),
            ]
        ),
    )


def _share_words(contract: Contract, billed_micro: int, share_micro: int) -> Iterator[str]:
    if contract.share_parts:
        share = share_text(contract.share)
        yield f"{share} of {format_micro(billed_micro)} billed net = {format_micro(share_micro)}"


def _unit_words(contract: Contract, units: int, units_micro: int) -> Iterator[str]:
    if contract.unit is not None:
        quantity, price = contract.unit.value, format_micro(contract.unit_price_micro)
        per = "each" if contract.unit_per == 1 else f"per {units_text(quantity, contract.unit_per)}"
        yield f"{units_text(quantity, units)} at {price} {per} = {format_micro(units_micro)}"


def _minimum_words(contract: Contract, in_force_ms: int, whole_ms: int, least_micro: int) -> Iterator[str]:
    if contract.minimum_micro:
        minimum, least = format_micro(contract.minimum_micro), format_micro(least_micro)
        part = f"{duration_text(in_force_ms)} of {duration_text(whole_ms)}"
        yield f"at least {least}" + ("" if in_force_ms == whole_ms else f", {part} at {minimum} a month")
