"""Owns how the lines of a bill are explained in words: how units and prices come to an amount.

```
5,000,000 bytes free, 7,345,678 bytes at 0.10 per 1,000,000,000 = 0.000735, rounded 0.00
9.99 a period, for 14 d of 28 d = 4.995, rounded 5.00
19 % of 12.34 = 2.3446, rounded 2.34
```
"""

from sealcast.billing.periods import Period
from sealcast.billing.rating import LIMIT, TAX, Charge, Line, Rated
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, TariffVersion
from sealcast.billing.timeline import Timeline
from sealcast.ledger.money import Currency, currency, format_micro

CHARGED_NO_MORE = "charged no more"
"""What earlier bills asked for is paid back: usage or a tariff that was, is not."""

_DURATIONS = {Quantity.SUBSCRIBED_MS, Quantity.RECEIVED_MS}
_WORDS = {
    Quantity.BYTES: ("byte", "bytes"),
    Quantity.PACKETS: ("packet", "packets"),
    Quantity.EPOCHS: ("key epoch", "key epochs"),
}
_MS_OF = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))
_PER_CENT = 100
_PICO_PER_MICRO, _PICO_DECIMALS = 1_000_000, 12


def explain(line: Line, rated: Rated, timeline: Timeline) -> str:
    """Return the workings of one line of a rated period in words."""
    coin = currency(rated.currency)
    version = timeline.tariff.version_at(line.key.valid_from_ms)
    if version is None or version.valid_from_ms != line.key.valid_from_ms:
        return CHARGED_NO_MORE
    if line.charge is not None:
        prices = [price for price in version.prices if price.name == line.key.name]
        return _charge(line.charge, prices[0], rated.period, coin) + _rounded(
            line, line.charge.micro * _PICO_PER_MICRO, coin
        )
    if not line.cumulative_minor:
        return CHARGED_NO_MORE
    if line.key.name == TAX:
        return _tax(line, rated, version, coin)
    if line.key.name == LIMIT and line.cumulative_minor < 0:
        return f"down to {_amount(version.cap_micro or 0, coin)}, the most that a period costs"
    return f"up to {_amount(version.minimum_micro, coin)} for a whole period, the least that one costs"


def _tax(line: Line, rated: Rated, version: TariffVersion, coin: Currency) -> str:
    net_minor = sum(
        each.cumulative_minor
        for each in rated.lines
        if each.key.valid_from_ms == version.valid_from_ms and each.key.name != TAX
    )
    per_cent = format_micro(version.tax_ppm * _PER_CENT)
    pico = net_minor * coin.micro_per_minor * version.tax_ppm
    text = f"{per_cent} % of {coin.format_minor(net_minor)} = {_exact(pico, coin)}"
    return text + _rounded(line, pico, coin)


def _charge(charge: Charge, price: Price, period: Period, coin: Currency) -> str:
    total = _amount(charge.micro, coin)
    if charge.whole_ms is not None:
        whole = _amount(price.steps[0].price_micro, coin)
        if charge.units == charge.whole_ms:
            return f"{whole} for the whole {'subscription' if period.is_run else 'period'}"
        return f"{whole} a period, for {_ms(charge.units)} of {_ms(charge.whole_ms)} = {total}"
    free = max(0, min(charge.units, price.free - charge.before))
    parts = [f"{_units(free, charge.quantity)} free"] if free else []
    parts += [
        f"{_units(units, charge.quantity)} at {_rate(step, charge.quantity, coin)}"
        for units, step in _stepped(charge, price)
    ]
    if not parts:
        return f"no {_units(0, charge.quantity).partition(' ')[2]}"
    after = f"after {_units(charge.before, charge.quantity)} at earlier prices: " if charge.before else ""
    return f"{after}{', '.join(parts)} = {total}"


def _stepped(charge: Charge, price: Price) -> list[tuple[int, Step]]:
    """Return how many units are charged at which step, those that are."""
    first, last = (max(0, units - price.free) for units in (charge.before, charge.before + charge.units))
    if price.mode is Mode.VOLUME:
        return [(last - first, price.step_at(last))] if last > first else []
    found, below = [], 0
    for step in price.steps:
        upper = last if step.up_to is None else min(last, step.up_to)
        units = upper - max(below, first)
        if units > 0:
            found.append((units, step))
        below = max(below, upper)
    return found


def _rate(step: Step, quantity: Quantity, coin: Currency) -> str:
    amount = _amount(step.price_micro, coin)
    if quantity in _DURATIONS:
        return f"{amount} per {_ms(step.per)}"
    return f"{amount} each" if step.per == 1 else f"{amount} per {step.per:,}"


def _units(units: int, quantity: Quantity) -> str:
    if quantity in _DURATIONS:
        return _ms(units) if units else "0 time"
    return f"{units:,} {_WORDS[quantity][units != 1]}"


def _ms(ms: int) -> str:
    """Return a length of time to the millisecond: `1 d 2 h 3 min`."""
    parts = []
    for word, size in _MS_OF:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count:,} {word}")
    return " ".join(parts) or "0 s"


def _amount(micro: int, coin: Currency) -> str:
    return _exact(micro * _PICO_PER_MICRO, coin)


def _exact(pico: int, coin: Currency) -> str:
    """Return an amount with the decimals of its currency at least, and all others that it has."""
    sign, digits = "-" if pico < 0 else "", f"{abs(pico):0{_PICO_DECIMALS + 1}}"
    decimals = digits[-_PICO_DECIMALS:].rstrip("0").ljust(coin.decimals, "0")
    return f"{sign}{digits[:-_PICO_DECIMALS]}.{decimals}".rstrip(".")


def _rounded(line: Line, pico: int, coin: Currency) -> str:
    """Return what an amount was rounded to, if it was."""
    if line.cumulative_minor * coin.micro_per_minor * _PICO_PER_MICRO == pico:
        return ""
    return f", rounded {coin.format_minor(line.cumulative_minor)}"
