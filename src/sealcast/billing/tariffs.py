"""Owns tariffs: what a subscription costs by time, bytes, packets and key epochs, and since when.

A tariff has *versions*, each valid from an instant on; a version has *prices*, all charged at once. A price
says what it counts, how many units are free in each period, and its steps:

```
graduated   0 ─── 100 GB at 0.10 ─── 1 TB at 0.05 ─── at 0.02      each unit at the price of its own step
volume      all units at the price of the step in which their number lies
```
"""

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from sealcast.core.errors import UsageError
from sealcast.ledger.money import AMOUNT_MICRO_MAX, currency

PRICES_MAX = 32
STEPS_MAX = 32
"""Nobody reads a longer list; each is worked out for each invoice."""

UNITS_MAX = 10**18
TAX_PPM_MAX = 1_000_000
"""A tax of 100 %: more is a mistake."""

NAME_CHARS_MAX = 64


class Quantity(StrEnum):
    """What a price counts: periods (prorated), ms subscribed, ms granted on air, bytes, packets, epochs."""

    PERIODS = "periods"
    SUBSCRIBED_MS = "subscribed-ms"
    RECEIVED_MS = "received-ms"
    BYTES = "bytes"
    PACKETS = "packets"
    EPOCHS = "epochs"


class Mode(StrEnum):
    """How steps are read."""

    GRADUATED = "graduated"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Step:
    """`price_micro` for each `per` units, up to `up_to` units in a period (None: without end)."""

    price_micro: int
    per: int = 1
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """One price of a tariff: `free` units of each period cost nothing and are not counted in the steps.

    Raises UsageError for amounts below 0, units below 1, and steps that do not rise.
    """

    name: str
    quantity: Quantity
    steps: tuple[Step, ...]
    mode: Mode = Mode.GRADUATED
    free: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= NAME_CHARS_MAX or not self.name.isprintable():
            raise UsageError(f"a price has a name of 1 to {NAME_CHARS_MAX} characters, for the invoice")
        if not 1 <= len(self.steps) <= STEPS_MAX:
            raise UsageError(f"price {self.name!r}: give 1 to {STEPS_MAX} steps")
        if not 0 <= self.free <= UNITS_MAX:
            raise UsageError(f"price {self.name!r}: the free units are a number from 0 on")
        if self.quantity is Quantity.PERIODS and (len(self.steps) > 1 or self.free or self.steps[0].per != 1):
            raise UsageError(
                f"price {self.name!r}: what is paid for a period has neither steps nor free units"
            )
        self._check_steps()

    def charge_micro(self, units: int, before: int = 0) -> int:
        """Return what `units` of one period cost, in micro-units, rounded once for each step.

        They follow upon `before` units of the same period, which are charged elsewhere: those come first
        where units are free or steps begin.
        """
        earlier, counted = max(0, before - self.free), max(0, before + units - self.free)
        if self.mode is Mode.VOLUME:
            return _cost_micro(counted - earlier, self.step_at(counted))
        return self._graduated_micro(counted) - self._graduated_micro(earlier)

    def step_at(self, counted: int) -> Step:
        """Return the step in which a number of units lies, free ones not counted."""
        return next(each for each in self.steps if each.up_to is None or counted <= each.up_to)

    def _graduated_micro(self, counted: int) -> int:
        total, below = 0, 0
        for step in self.steps:
            upper = counted if step.up_to is None else min(counted, step.up_to)
            total += _cost_micro(upper - below, step)
            below = upper
            if below == counted:
                break
        return total

    def _check_steps(self) -> None:
        limits = [step.up_to for step in self.steps]
        if limits[-1] is not None or None in limits[:-1]:
            raise UsageError(f"price {self.name!r}: the last step, and only that, has no end")
        rising = [0, *(limit for limit in limits if limit is not None)]
        if any(after <= before for before, after in pairwise(rising)):
            raise UsageError(f"price {self.name!r}: each step ends above the one before")
        for step in self.steps:
            if not 0 <= step.price_micro <= AMOUNT_MICRO_MAX or not 1 <= step.per <= UNITS_MAX:
                raise UsageError(f"price {self.name!r}: amounts are from 0 on, for 1 unit or more")
        if rising[-1] > UNITS_MAX:
            raise UsageError(f"price {self.name!r}: a step ends beyond every number of units")


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """What a tariff charges from `valid_from_ms` on, to `valid_until_ms` if that is set.

    `minimum_micro` and `cap_micro` are of a whole period, the minimum prorated like what is paid for it. One
    rate of tax, in millionths, is on top of everything. Raises UsageError for what no tariff has.
    """

    currency: str
    valid_from_ms: int
    prices: tuple[Price, ...]
    valid_until_ms: int | None = None
    minimum_micro: int = 0
    cap_micro: int | None = None
    tax_ppm: int = 0

    def __post_init__(self) -> None:
        currency(self.currency)
        if self.valid_from_ms < 0:
            raise UsageError("a tariff is valid from an instant since 1970 on")
        if self.valid_until_ms is not None and self.valid_until_ms <= self.valid_from_ms:
            raise UsageError("a tariff's validity ends after it begins")
        if not 1 <= len(self.prices) <= PRICES_MAX:
            raise UsageError(f"a tariff has 1 to {PRICES_MAX} prices")
        if len({price.name for price in self.prices}) != len(self.prices):
            raise UsageError("two prices of a tariff have one name: an invoice could not tell them apart")
        if not 0 <= self.tax_ppm <= TAX_PPM_MAX:
            raise UsageError("a tax rate lies between 0 and 100 %")
        highest = AMOUNT_MICRO_MAX if self.cap_micro is None else self.cap_micro
        if not 0 <= self.minimum_micro <= highest <= AMOUNT_MICRO_MAX:
            raise UsageError("a minimum lies between 0 and the cap")


@dataclass(frozen=True, slots=True)
class Tariff:
    """The versions of one tariff, in order of time. Raises UsageError if they overlap or change currency."""

    name: str
    versions: tuple[TariffVersion, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.versions:
            raise UsageError(f"tariff {self.name!r} says no prices")
        for before, after in pairwise(self.versions):
            if after.valid_from_ms <= before.valid_from_ms:
                raise UsageError(
                    f"tariff {self.name!r}: two versions begin at one instant, or are not in order"
                )
            if before.valid_until_ms is not None and after.valid_from_ms < before.valid_until_ms:
                raise UsageError(f"tariff {self.name!r}: the validities of two versions overlap")
            if after.currency != before.currency:
                raise UsageError(
                    f"tariff {self.name!r}: its currency is {before.currency}; make another tariff"
                )

    @property
    def currency(self) -> str:
        """The code of its currency, the same in all versions."""
        return self.versions[0].currency

    def version_at(self, instant_ms: int) -> TariffVersion | None:
        """Return the version valid at an instant, if any is."""
        found = None
        for version in self.versions:
            if version.valid_from_ms <= instant_ms:
                found = version
        if found is not None and found.valid_until_ms is not None and instant_ms >= found.valid_until_ms:
            return None
        return found

    def cuts(self, start_ms: int, end_ms: int) -> tuple[int, ...]:
        """Return the instants inside a span at which prices change, in order."""
        instants = {version.valid_from_ms for version in self.versions}
        instants |= {each.valid_until_ms for each in self.versions if each.valid_until_ms is not None}
        return tuple(sorted(each for each in instants if start_ms < each < end_ms))


def round_ratio(numerator: int, denominator: int) -> int:
    """Return a quotient of integers, rounded; a half goes away from zero. The denominator is above 0."""
    whole = (2 * abs(numerator) + denominator) // (2 * denominator)
    return whole if numerator >= 0 else -whole


def _cost_micro(units: int, step: Step) -> int:
    return round_ratio(units * step.price_micro, step.per)
