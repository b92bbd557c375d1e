"""Owns amounts of money: whole micro-units inside, whole minor units of a currency on what people see.

A *micro-unit* is a millionth of a currency's major unit (of a euro, a yen, a dinar); a *minor unit* is its
smallest coin by ISO 4217: a cent, a yen, a fils. Amounts are Python integers: nothing here is ever a float.
"""

import re
from dataclasses import dataclass
from functools import cache

from sealcast.core.errors import UsageError

MICRO_PER_MAJOR = 1_000_000
MICRO_DECIMALS = 6

AMOUNT_MICRO_MAX = 10**18
"""A million million of any currency: beyond it somebody has mistyped, and a database keeps 64 bits."""

_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217: `decimals` is how many its minor unit has, 0 to 4."""

    code: str
    decimals: int

    @property
    def micro_per_minor(self) -> int:
        """How many micro-units its smallest coin has."""
        return int(10 ** (MICRO_DECIMALS - self.decimals))

    def round_micro(self, micro: int) -> int:
        """Return the minor units nearest to an amount; half a coin goes away from zero."""
        coin = self.micro_per_minor
        whole = (abs(micro) + coin // 2) // coin
        return whole if micro >= 0 else -whole

    def format_minor(self, minor: int) -> str:
        """Return an amount in minor units as people write it: `12.34`, `-7`, `0.005`."""
        sign, digits = "-" if minor < 0 else "", f"{abs(minor):0{self.decimals + 1}}"
        if not self.decimals:
            return sign + digits
        return f"{sign}{digits[: -self.decimals]}.{digits[-self.decimals :]}"


@cache
def currency(code: str) -> Currency:
    """Return the currency of a code; raises UsageError if ISO 4217 has none, or none with a minor unit."""
    # Only the extra `server` brings the list; whoever shows amounts needs none of it.
    from iso4217 import Currency as IsoCurrency  # noqa: PLC0415 - see above

    try:
        found = IsoCurrency(code)
    except ValueError as error:
        raise UsageError(f"no currency has the code {code[:10]!r}; write for instance EUR or JPY") from error
    if found.exponent is None:
        raise UsageError(f"{code} has no minor unit: nothing is paid in it")
    return Currency(code, found.exponent)


def parse_amount(text: str) -> int:
    """Read an amount in major units, such as `9.99` or `0.000004`, as micro-units; raises UsageError."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise UsageError(f"not an amount: {text[:40]!r}; write for instance 9.99, with 6 decimals at most")
    sign, major, decimals = found.groups()
    micro = int(major) * MICRO_PER_MAJOR + int((decimals or "0").ljust(MICRO_DECIMALS, "0"))
    if micro > AMOUNT_MICRO_MAX:
        raise UsageError(f"{text} is more money than there is")
    return -micro if sign else micro


def format_micro(micro: int) -> str:
    """Return micro-units as the shortest text that `parse_amount` reads."""
    sign, digits = "-" if micro < 0 else "", f"{abs(micro):0{MICRO_DECIMALS + 1}}"
    return f"{sign}{digits[:-MICRO_DECIMALS]}.{digits[-MICRO_DECIMALS:]}".rstrip("0").rstrip(".")
