"""Owns the little language of prices, as operators type them and as tariff files have them.

```
Subscription: 9.99 per period
Data: 0.10 per GB, 5 GB free          price, in major units of the currency, for a number of units
Viewing: 0.02 per 15 minutes          time is time received, unless it says `subscribed`
```
Whatever is read is written back as the same price, though perhaps in other words.
"""

import re
from dataclasses import dataclass

from sealcast.billing.tariffs import UNITS_MAX, Mode, Price, Quantity, Step
from sealcast.core.errors import UsageError
from sealcast.ledger.money import format_micro, parse_amount

SUBSCRIBED, RECEIVED = "subscribed", "received"
"""What time counts: all that one was subscribed, or what was on air and one had the keys of."""

_BINARY = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DECIMAL = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TIME = {"ms": 1, "second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
"""A day is 24 hours, also where clocks change."""

SIZES: dict[Quantity, dict[str, int]] = {
    Quantity.PERIODS: {"period": 1},
    Quantity.RECEIVED_MS: _TIME,
    Quantity.SUBSCRIBED_MS: _TIME,
    Quantity.BYTES: {"byte": 1, **_BINARY, **_DECIMAL},
    Quantity.PACKETS: {"packet": 1},
    Quantity.EPOCHS: {"epoch": 1},
}
"""The units of each quantity, as people write them."""

WORDS: dict[str, Quantity] = {
    word: quantity
    for quantity, sizes in SIZES.items()
    if quantity is not Quantity.SUBSCRIBED_MS
    for word in sizes
}
"""What each unit counts; time is received, unless the word `subscribed` follows."""

_HOW = "write for instance 'Data: 0.10 per GB, 5 GB free' or 'Subscription: 9.99 per period'"
_UNITS = re.compile(r"(?:([0-9]{1,19})(?:\.([0-9]{1,12}))? ?)?([A-Za-z]+)(?: (subscribed|received))?")
_RATE = re.compile(r"(\S+) per (.+)")
_PERCENT = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?(?: ?%)?")
_PPM_OF_PERCENT = 10_000
_FREE = re.compile(r"(.+) free")


@dataclass(frozen=True, slots=True)
class Units:
    """So many of a quantity: `5 GB` are 5,000,000,000 bytes."""

    quantity: Quantity
    count: int


def parse_price(line: str) -> Price:
    """Read a price of one step, such as `Data: 0.10 per GB, 5 GB free`; raises UsageError."""
    name, colon, rest = line.rpartition(":")
    parts = [part.strip() for part in rest.split(",")]
    if not colon or len(parts) > 2:
        raise UsageError(f"not a price: {line[:80]!r}; {_HOW}")
    quantity, step = parse_rate(parts[0])
    free = 0
    if parts[1:]:
        found = _FREE.fullmatch(parts[1])
        if found is None:
            raise UsageError(f"not free units: {parts[1][:40]!r}; write for instance '5 GB free'")
        free = parse_count(found[1], quantity)
    return Price(name.strip(), quantity, (step,), free=free)


def parse_rate(text: str) -> tuple[Quantity, Step]:
    """Read what so many units cost, such as `0.10 per GB`, as a step without end; raises UsageError."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"not a price: {text[:80]!r}; {_HOW}")
    amount_micro, units = parse_amount(found[1]), parse_units(found[2])
    if amount_micro < 0:
        raise UsageError(f"{text[:80]!r}: a price is 0 or more")
    if units.quantity is Quantity.PERIODS and units.count != 1:
        raise UsageError(f"{text[:80]!r}: a price is for one period")
    return units.quantity, Step(amount_micro, units.count)


def parse_units(text: str) -> Units:
    """Read `GB`, `5 GB`, `1000 packets` or `15 minutes subscribed`; raises UsageError."""
    found = _UNITS.fullmatch(text.strip())
    word = found[3] if found is not None else ""
    known = word if word in WORDS else word.removesuffix("s")
    if found is None or known not in WORDS:
        raise UsageError(f"not units: {text[:40]!r}; there are {_all_words()}")
    quantity = WORDS[known]
    if found[4] is not None and quantity not in {Quantity.RECEIVED_MS, Quantity.SUBSCRIBED_MS}:
        raise UsageError(f"{text[:40]!r}: only time is {found[4]}")
    if found[4] == SUBSCRIBED:
        quantity = Quantity.SUBSCRIBED_MS
    whole, decimals = found[1] or "1", found[2] or ""
    count, rest = divmod(int(whole + decimals) * SIZES[quantity][known], 10 ** len(decimals))
    if rest or not 0 < count <= UNITS_MAX:
        raise UsageError(f"{text[:40]!r} is no whole number of the smallest units, or none that there is")
    return Units(quantity, count)


def parse_count(text: str, quantity: Quantity) -> int:
    """Read a number of units of one quantity, such as `5 GB` of bytes; raises UsageError for others."""
    units = parse_units(text)
    # Plain time is that which the price counts.
    is_same_time = quantity is Quantity.SUBSCRIBED_MS and units.quantity is Quantity.RECEIVED_MS
    if units.quantity is not quantity and not (is_same_time and RECEIVED not in text):
        raise UsageError(f"{text[:40]!r} are not {_name(quantity)}, which the price counts")
    return units.count


def format_rate(quantity: Quantity, step: Step) -> str:
    """Return what so many units cost as `parse_rate` reads it."""
    suffix = f" {SUBSCRIBED}" if quantity is Quantity.SUBSCRIBED_MS else ""
    return f"{format_micro(step.price_micro)} per {format_count(quantity, step.per, is_per=True)}{suffix}"


def format_count(quantity: Quantity, count: int, *, is_per: bool = False) -> str:
    """Return a number of units as `parse_count` reads it, in the largest unit of which it is a whole number.

    With `is_per` one of them is only its unit.
    """
    sizes = SIZES[quantity]
    fitting = [word for word in sizes if count % sizes[word] == 0]
    word = max(fitting, key=lambda each: (sizes[each], each in _DECIMAL))
    number = count // sizes[word]
    if number == 1 and is_per:
        return word
    plural = "" if number == 1 or word in {"ms", *_BINARY, *_DECIMAL} else "s"
    return f"{number} {word}{plural}"


def format_price(price: Price) -> str:
    """Return a price in words: as `parse_price` reads it if it has one step, else with all of its steps."""
    steps = [format_rate(price.quantity, price.steps[0])]
    for before, step in zip(price.steps, price.steps[1:], strict=False):
        limit = format_count(price.quantity, before.up_to or 0)
        steps.append(f"{format_rate(price.quantity, step)} above {limit}")
    free = f", {format_count(price.quantity, price.free)} free" if price.free else ""
    mode = " (all units at the price of the last step reached)" if price.mode is Mode.VOLUME else ""
    return f"{price.name}: {'; '.join(steps)}{free}{mode}"


def parse_percent(text: str) -> int:
    """Read per cent, such as `19` or `7.7 %`, as millionths; raises UsageError."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"not per cent: {text[:40]!r}; write for instance 19, with 4 decimals at most")
    return int(found[1]) * _PPM_OF_PERCENT + int((found[2] or "").ljust(4, "0"))


def format_percent(ppm: int) -> str:
    """Return millionths as per cent, as `parse_percent` reads it."""
    whole, rest = divmod(ppm, _PPM_OF_PERCENT)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".")


def _name(quantity: Quantity) -> str:
    return {Quantity.RECEIVED_MS: "time", Quantity.SUBSCRIBED_MS: "time subscribed"}.get(
        quantity, quantity.value
    )


def _all_words() -> str:
    return ", ".join(dict.fromkeys(word for sizes in SIZES.values() for word in sizes))
