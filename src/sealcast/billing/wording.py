"""Owns how amounts, instants, periods and units read on a bill: plain English, exact, nothing rounded.

```
1234567 minor units, 2 decimals        12,345.67
2026-03-01T00:00:00+01:00, to April    its first and last day
90061500 ms                            1 d 1 h 1 min 1 s 500 ms
```
"""

import datetime as dt
import unicodedata

from sealcast.ledger.money import MICRO_DECIMALS

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

DASH = "\u2013"

FIRST_YEAR = 1970
"""A period that begins then has no beginning of its own: it is the whole subscription."""

UNIT_WORDS = {"bytes": "byte", "packets": "packet", "epochs": "key epoch"}
_DURATIONS = {"periods", "subscribed-ms", "received-ms"}
_MS_OF = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))

KEPT_FORMAT_CHARACTERS = "\u200c\u200d"
"""Joiners, which some scripts cannot do without. Others could turn a name around or hide part of it."""


def amount_text(units: int, decimals: int) -> str:
    """Return an amount in units of `decimals` digits behind the point, with commas: `-1,234.50`."""
    sign, digits = "-" if units < 0 else "", f"{abs(units):0{decimals + 1}}"
    whole, rest = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return f"{sign}{int(whole):,}" + (f".{rest}" if decimals else "")


def plain_amount(units: int, decimals: int) -> str:
    """Return an amount as programs read it: `-1234.50`."""
    return amount_text(units, decimals).replace(",", "")


def micro_decimals(amounts_micro: list[int], decimals: int) -> int:
    """Return how many digits behind the point show all of these amounts exactly, `decimals` at least."""
    needed = (
        next(n for n in range(MICRO_DECIMALS + 1) if each % 10 ** (MICRO_DECIMALS - n) == 0)
        for each in amounts_micro
    )
    return max(decimals, *needed, 0)


def micro_text(micro: int, decimals: int) -> str:
    """Return micro-units with `decimals` digits behind the point, which have to show them exactly."""
    return amount_text(micro // 10 ** (MICRO_DECIMALS - decimals), decimals)


def units_text(quantity: str | None, units: int) -> str:
    """Return what was counted, in words: `7,345,678 bytes`, `14 d 3 h`; empty for what counts nothing."""
    if quantity is None:
        return ""
    if quantity in _DURATIONS:
        return duration_text(units)
    word = UNIT_WORDS.get(quantity, quantity)
    return f"{units:,} {word}{'' if units == 1 else 's'}"


def duration_text(span_ms: int) -> str:
    """Return a span of time to the millisecond; days are 24 hours."""
    parts, rest = list[str](), abs(span_ms)
    for word, size_ms in _MS_OF:
        count, rest = divmod(rest, size_ms)
        if count:
            parts.append(f"{count:,} {word}")
    return ("-" if span_ms < 0 else "") + (" ".join(parts) or "0 s")


def percent_text(ppm: int) -> str:
    """Return millionths as per cent, exactly: `19 %`, `7.7 %`."""
    return f"{plain_amount(ppm, 4).rstrip('0').rstrip('.')} %"


def instant_of(text: str) -> dt.datetime | None:
    """Return an instant of a document; None if it is written in no way that we know."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def instant_text(text: str) -> str:
    """Return an instant as the customer's clocks showed it, with what these are ahead of UTC."""
    instant = instant_of(text)
    if instant is None:
        return text
    offset = instant.isoformat()[-6:]
    zone = "UTC" if offset == "+00:00" else f"UTC{offset}"
    return f"{_day(instant)}, {_clock(instant)} ({zone})"


def period_text(start: str, end: str | None) -> str:
    """Return a period by its first and last day, or by instants if it does not fall into whole days."""
    first = instant_of(start)
    if end is None:
        has_begin = first is None or first.astimezone(dt.UTC).year != FIRST_YEAR
        return f"from {instant_text(start)}" if has_begin else "the whole subscription"
    after = instant_of(end)
    if first is None or after is None or not (_is_midnight(first) and _is_midnight(after)):
        return f"{instant_text(start)} {DASH} {instant_text(end)}"
    return _days_text(first, after - dt.timedelta(days=1))


def day_text(text: str) -> str:
    """Return an instant by its day if it is a midnight, else with the time."""
    instant = instant_of(text)
    return _day(instant) if instant is not None and _is_midnight(instant) else instant_text(text)


def clean(text: str) -> str:
    """Return one line of text in which nothing is hidden: control characters become a visible mark."""
    return text if text.isascii() and text.isprintable() else "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable() or char in KEPT_FORMAT_CHARACTERS:
        return char
    return " " if unicodedata.category(char) == "Zs" else "\ufffd"


def _days_text(first: dt.datetime, last: dt.datetime) -> str:
    if first.date() >= last.date():
        return _day(first)
    if first.year != last.year:
        return f"{_day(first)} {DASH} {_day(last)}"
    month = f" {MONTHS[first.month - 1]}" if first.month != last.month else ""
    return f"{first.day}{month} {DASH} {_day(last)}"


def _day(instant: dt.datetime) -> str:
    return f"{instant.day} {MONTHS[instant.month - 1]} {instant.year}"


def _clock(instant: dt.datetime) -> str:
    return (
        instant.strftime("%H:%M:%S") if instant.second or instant.microsecond else instant.strftime("%H:%M")
    )


def _is_midnight(instant: dt.datetime) -> bool:
    return instant.time() == dt.time()
