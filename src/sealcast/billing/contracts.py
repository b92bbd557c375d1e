"""Owns contracts with broadcasters: what each gets of a channel, from when to when, and which fit together.

```
EUR on news     one  1/2 ├───────────────────────────────────────────
                two  1/4 ├───────────────┤ 1/3 ├─────────────────────   the new one ends the one before
                                         three 1/4 refused: 13/12
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sealcast.billing.periods import LAST_MS, format_instant
from sealcast.billing.tariffs import UNITS_MAX, Quantity
from sealcast.core.errors import RefusedError, UsageError
from sealcast.ledger.entries import account
from sealcast.ledger.money import AMOUNT_MICRO_MAX, currency, format_micro
from sealcast.messages.bookkeeping import SHARE_OF_MAX, ContractTerms
from sealcast.messages.problems import STATUS_OF

_PERCENT_MICRO = 100
"""Of a share in millionths to millionths of a per cent."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a broadcaster gets of what is billed on one channel in one currency, while it is in force.

    A share, `share_parts` of `share_of`; `unit_price_micro` for each `unit_per` of `unit`; at least
    `minimum_micro` for each month. `number` is 0 before it is on record. Raises UsageError for what no
    contract says.
    """

    number: int
    broadcaster: str
    channel: int
    currency: str
    from_ms: int
    until_ms: int | None = None
    share_parts: int = 0
    share_of: int = 1
    unit: Quantity | None = None
    unit_price_micro: int = 0
    unit_per: int = 1
    minimum_micro: int = 0

    def __post_init__(self) -> None:
        currency(self.currency)
        account("broadcaster", self.broadcaster)
        if not 0 <= self.from_ms < LAST_MS:
            raise UsageError("a contract begins between the years 1970 and 9998")
        if self.until_ms is not None and not self.from_ms <= self.until_ms <= LAST_MS:
            raise UsageError("a contract ends after it begins")
        if not 0 <= self.share_parts <= self.share_of <= SHARE_OF_MAX or not self.share_of:
            raise UsageError("a share lies between 0 and 100 %")
        if self.unit is Quantity.PERIODS:
            raise UsageError("a contract has no price per period; take one per time subscribed, or a minimum")
        if (self.unit is None) != (self.unit_price_micro == 0):
            raise UsageError("a price per unit names the unit and is above 0")
        if max(self.unit_price_micro, self.minimum_micro) > AMOUNT_MICRO_MAX or self.unit_per > UNITS_MAX:
            raise UsageError("a contract names an amount or a number of units beyond all there is")
        if min(self.unit_price_micro, self.minimum_micro) < 0 or self.unit_per < 1:
            raise UsageError("amounts of a contract are from 0 on, for 1 unit or more")
        if not (self.share_parts or self.unit or self.minimum_micro):
            raise UsageError(
                "a contract gives a share, a price per unit or a minimum; this one gives nothing"
            )

    @property
    def share(self) -> Fraction:
        """Its share, exactly."""
        return Fraction(self.share_parts, self.share_of)

    def is_in_force(self, at_ms: int) -> bool:
        """Whether it counts at an instant."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)

    def overlap_ms(self, start_ms: int, end_ms: int) -> int:
        """Return for how much of a span it is in force."""
        last = end_ms if self.until_ms is None else min(end_ms, self.until_ms)
        return max(0, last - max(start_ms, self.from_ms))


def contract_of(terms: ContractTerms, channel: int, from_ms: int, until_ms: int | None) -> Contract:
    """Return a contract that is not on record yet; raises UsageError for terms that no contract has.

    One on record may be empty: it was ended before it began.
    """
    if from_ms == until_ms:
        raise UsageError("a contract ends after it begins")
    return Contract(
        number=0,
        broadcaster=terms.broadcaster,
        channel=channel,
        currency=terms.currency,
        from_ms=from_ms,
        until_ms=until_ms,
        share_parts=terms.share_parts,
        share_of=terms.share_of,
        unit=None if terms.unit is None else Quantity(terms.unit),
        unit_price_micro=terms.unit_price_micro,
        unit_per=terms.unit_per,
        minimum_micro=terms.minimum_micro,
    )


def terms_of(contract: Contract, channel_name: str) -> ContractTerms:
    """Return what a contract says, with its channel's name."""
    return ContractTerms(
        broadcaster=contract.broadcaster,
        channel=channel_name,
        currency=contract.currency,
        share_parts=contract.share_parts,
        share_of=contract.share_of,
        unit=None if contract.unit is None else contract.unit.value,
        unit_price_micro=contract.unit_price_micro,
        unit_per=contract.unit_per,
        minimum_micro=contract.minimum_micro,
    )


def fit(known: Sequence[Contract], new: Contract) -> Contract | None:
    """Return the contract of the same broadcaster that ends where `new` begins, if there is one.

    `known` are those of its channel and currency. Raises RefusedError `overlap` where the broadcaster has one
    that begins at the same instant or later, or if more than all would be shared at any instant.
    """
    ended: Contract | None = None
    others: list[Contract] = []
    for each in known:
        if each.broadcaster != new.broadcaster or not _overlap(each, new):
            others.append(each)
        elif each.from_ms >= new.from_ms:
            raise _overlapping(
                f"contract {each.number} of {new.broadcaster} begins at {format_instant(each.from_ms)};"
                " end this one by then, or end that one first"
            )
        else:
            ended = each
    begins = {new.from_ms, *(each.from_ms for each in others if new.is_in_force(each.from_ms))}
    for at_ms in sorted(begins):
        shared = new.share + sum(each.share for each in others if each.is_in_force(at_ms))
        if shared > 1:
            raise _overlapping(
                f"from {format_instant(at_ms)} on {share_text(shared)} of what is billed would be given away;"
                " see: billing settle contract list"
            )
    return ended


def check_end(contract: Contract, until_ms: int) -> None:
    """Raise UsageError unless a contract can end at an instant: later than it begins, or as it begins."""
    if contract.until_ms is not None and until_ms >= contract.until_ms:
        raise UsageError(
            f"contract {contract.number} ends at {format_instant(contract.until_ms)} already;"
            " add another to go on"
        )
    if until_ms < contract.from_ms:
        raise UsageError(f"contract {contract.number} begins at {format_instant(contract.from_ms)} only")


def share_text(share: Fraction) -> str:
    """Return a share as people write it: `33.3 %`, or `1/3` if that has no end."""
    if SHARE_OF_MAX % share.denominator:
        return f"{share.numerator}/{share.denominator}"
    return f"{format_micro(int(share * SHARE_OF_MAX) * _PERCENT_MICRO)} %"


def _overlap(one: Contract, other: Contract) -> bool:
    ends = [each.until_ms for each in (one, other) if each.until_ms is not None]
    return not ends or max(one.from_ms, other.from_ms) < min(ends)


def _overlapping(detail: str) -> RefusedError:
    return RefusedError("overlap", detail, int(STATUS_OF["overlap"]))
