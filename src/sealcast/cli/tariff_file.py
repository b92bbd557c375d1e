"""Owns the file of a tariff: one version of it in TOML, with prices and steps as people write them.

```
name = "basic"
currency = "EUR"
channels = ["news"]
tax = "19"

[[prices]]
name = "Data"
free = "5 GB"
steps = [{ price = "0.10 per GB", up_to = "100 GB" }, { price = "0.05 per GB" }]
```
What is read and written again says the same. Amounts stand in quotes: none is ever a binary fraction.
"""

import datetime as dt
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from sealcast.billing.periods import format_instant
from sealcast.billing.pricelines import (
    format_count,
    format_percent,
    format_rate,
    parse_count,
    parse_percent,
    parse_rate,
)
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, TariffVersion
from sealcast.billing.terms import terms_of
from sealcast.cli.instants import parse_instant
from sealcast.core.errors import UsageError
from sealcast.ledger.money import format_micro, parse_amount
from sealcast.messages.charging import Terms

FILE_BYTES_MAX = 256 * 1024
"""More than all that a request may say."""

_HEADER = "# A tariff; docs/billing.md says what everything means.\n"


@dataclass(frozen=True, slots=True)
class TariffFile:
    """One version of a tariff as a file says it; instants None: now, and without end."""

    version: TariffVersion
    name: str = ""
    from_ms: int | None = None
    channels: list[str] = field(default_factory=list)

    @property
    def terms(self) -> Terms:
        """What it charges, as messages have it."""
        return terms_of(self.version)


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: what it does not know is a mistake."""


class _Step(_Strict, frozen=True, kw_only=True):
    price: str
    up_to: str | None = None


class _Price(_Strict, frozen=True, kw_only=True):
    name: str
    price: str | None = None
    steps: list[_Step] = msgspec.field(default_factory=list)
    mode: Literal["graduated", "volume"] = "graduated"
    free: str | None = None


class _File(_Strict, frozen=True, kw_only=True):
    currency: str
    prices: list[_Price]
    name: str = ""
    channels: list[str] = msgspec.field(default_factory=list)
    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    tax: str = "0"
    minimum: str = "0"
    cap: str | None = None


def read_file(path: Path) -> TariffFile:
    """Read the file of a tariff; raises UsageError that names it."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > FILE_BYTES_MAX:
        raise UsageError(f"{path} has more than {FILE_BYTES_MAX} bytes: that is no tariff")
    try:
        return parse_file(data.decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_file(text: str) -> TariffFile:
    """Read a tariff; raises UsageError."""
    try:
        found = msgspec.convert(_instants_as_text(tomllib.loads(text)), _File)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}") from error
    except msgspec.ValidationError as error:
        in_quotes = "; write amounts in quotes" if "Expected `str" in str(error) else ""
        raise UsageError(f"not a tariff: {error}{in_quotes}") from error
    from_ms = None if found.from_ is None else parse_instant(found.from_)
    version = TariffVersion(
        currency=found.currency,
        valid_from_ms=from_ms or 0,
        valid_until_ms=None if found.until is None else parse_instant(found.until),
        prices=tuple(_price(each) for each in found.prices),
        minimum_micro=parse_amount(found.minimum),
        cap_micro=None if found.cap is None else parse_amount(found.cap),
        tax_ppm=parse_percent(found.tax),
    )
    return TariffFile(version, found.name, from_ms, found.channels)


def format_file(tariff: TariffFile) -> str:
    """Return a tariff as `parse_file` reads it."""
    version = tariff.version
    rows: list[tuple[str, object]] = [("name", tariff.name), ("currency", version.currency)]
    rows += [("channels", tariff.channels)] if tariff.channels else []
    rows += [("from", format_instant(tariff.from_ms))] if tariff.from_ms is not None else []
    rows += [("until", format_instant(version.valid_until_ms))] if version.valid_until_ms is not None else []
    rows += [("tax", format_percent(version.tax_ppm))] if version.tax_ppm else []
    rows += [("minimum", format_micro(version.minimum_micro))] if version.minimum_micro else []
    rows += [("cap", format_micro(version.cap_micro))] if version.cap_micro is not None else []
    return _HEADER + _lines(rows) + "".join(_price_text(price) for price in version.prices)


def _price(found: _Price) -> Price:
    if (found.price is None) is (not found.steps):
        raise UsageError(f"price {found.name!r}: say either price, or steps")
    steps = found.steps or [_Step(price=found.price or "")]
    rates = [parse_rate(step.price) for step in steps]
    quantity = rates[0][0]
    if any(each is not quantity for each, _ in rates):
        raise UsageError(f"price {found.name!r}: all of its steps count the same")
    return Price(
        name=found.name,
        quantity=quantity,
        steps=tuple(
            Step(
                rate.price_micro, rate.per, None if step.up_to is None else parse_count(step.up_to, quantity)
            )
            for step, (_, rate) in zip(steps, rates, strict=True)
        ),
        mode=Mode(found.mode),
        free=0 if found.free is None else parse_count(found.free, quantity),
    )


def _price_text(price: Price) -> str:
    rows: list[tuple[str, object]] = [("name", price.name)]
    rows += [("mode", price.mode.value)] if price.mode is not Mode.GRADUATED else []
    rows += [("free", format_count(price.quantity, price.free))] if price.free else []
    if len(price.steps) == 1:
        return "\n[[prices]]\n" + _lines([*rows, ("price", format_rate(price.quantity, price.steps[0]))])
    steps = "".join(f"  {{ {_step_text(price.quantity, step)} }},\n" for step in price.steps)
    return "\n[[prices]]\n" + _lines(rows) + f"steps = [\n{steps}]\n"


def _step_text(quantity: Quantity, step: Step) -> str:
    price = f"price = {_quoted(format_rate(quantity, step))}"
    return price if step.up_to is None else f"{price}, up_to = {_quoted(format_count(quantity, step.up_to))}"


def _lines(rows: list[tuple[str, object]]) -> str:
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in rows)


def _quoted(value: object) -> str:
    """Return a printable text, or a list of them, as TOML has it: for these it is written as JSON is."""
    return json.dumps(value, ensure_ascii=False)


def _instants_as_text(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table of TOML with instants that are written without quotes as if they had some."""
    is_instant = dt.date, dt.datetime
    return {
        name: value.isoformat() if isinstance(value, is_instant) else value for name, value in table.items()
    }
