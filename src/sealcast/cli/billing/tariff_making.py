"""Owns the way from what is typed of a tariff, or stands in its file, to what the key server is asked.

Imported by commands when they run, not for their help.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import typer

from sealcast.billing.periods import format_instant
from sealcast.billing.pricelines import parse_percent, parse_price
from sealcast.billing.tariffs import TariffVersion
from sealcast.billing.terms import terms_of, version_of
from sealcast.cli import acting, output
from sealcast.cli.instants import parse_instant
from sealcast.cli.tariff_file import TariffFile, read_file
from sealcast.core.errors import UsageError
from sealcast.ledger.money import parse_amount
from sealcast.messages import operations_billing
from sealcast.messages.charging import AssignmentList, TariffRow


@dataclass(frozen=True, slots=True)
class Given:
    """The options of `billing tariff add`, as typed."""

    name: str | None
    currency: str | None
    prices: tuple[str, ...]
    minimum: str | None
    cap: str | None
    tax: str | None
    channels: tuple[str, ...]
    from_: str | None
    until: str | None


def from_options(given: Given) -> TariffFile:
    """Return the tariff that options describe; raises UsageError."""
    if given.name is None or given.currency is None or not given.prices:
        raise UsageError("give a name, --currency and at least one --price; or --file")
    from_ms = _instant(given.from_)
    version = TariffVersion(
        currency=given.currency,
        valid_from_ms=from_ms or 0,
        valid_until_ms=_instant(given.until),
        prices=tuple(parse_price(line) for line in given.prices),
        minimum_micro=parse_amount(given.minimum or "0"),
        cap_micro=None if given.cap is None else parse_amount(given.cap),
        tax_ppm=parse_percent(given.tax or "0"),
    )
    return TariffFile(_checked(version), given.name, from_ms, list(given.channels))


def from_file(path: Path, given: Given) -> TariffFile:
    """Return the tariff of a file; name, channels and validity may be typed in place of the file's."""
    if given.currency or given.prices or given.minimum or given.cap or given.tax:
        raise UsageError("beside --file only a name, --channel, --from and --until are for the command line")
    found = read_file(path)
    name = found.name if given.name is None else given.name
    if not name:
        raise UsageError(f"{path} has no name; write one there, or before --file")
    from_ms = found.from_ms if given.from_ is None else _instant(given.from_)
    until_ms = found.version.valid_until_ms if given.until is None else _instant(given.until)
    version = replace(found.version, valid_from_ms=from_ms or 0, valid_until_ms=until_ms)
    return TariffFile(_checked(version), name, from_ms, list(given.channels) or found.channels)


def fields(tariff: TariffFile) -> dict[str, object]:
    """Return what a request for a tariff says."""
    return {
        "name": tariff.name,
        "currency": tariff.version.currency,
        "terms": tariff.terms,
        "channels": tariff.channels,
        "from_ms": tariff.from_ms,
        "until_ms": tariff.version.valid_until_ms,
    }


def summary(asked: TariffFile, answer: TariffRow) -> str:
    """Return what was added, in one line."""
    made = [each for each in answer.versions if each.terms == asked.terms]
    since = format_instant(made[-1].from_ms) if made else "now"
    count = len(answer.versions)
    version = "" if count == 1 else f", one of {count} versions"
    where = f" for {', '.join(asked.channels)}" if asked.channels else ""
    return f"tariff {answer.name} is valid from {since} on{where}{version}"


def assign(
    context: typer.Context,
    channel: str,
    tariff: str | None,
    *,
    device: str | None,
    from_: str | None,
    json: bool,
) -> None:
    """Assign a tariff, or none, and tell what was done."""
    wanted = {"channel": channel, "tariff": tariff, "device": device, "from_ms": _instant(from_)}
    operation = operations_billing.TARIFF_ASSIGN
    answer = acting.ask(acting.operator(context), operation, AssignmentList, **wanted)
    if json:
        output.print_json(answer)
        return
    row = answer.assignments[0]
    whom = row.channel_name if device is None else f"{device} on {row.channel_name}"
    since = f"from {format_instant(row.from_ms)} on"
    if tariff is not None:
        output.print_line(f"{whom} has tariff {tariff} {since}")
    elif device is not None:
        output.print_line(f"{whom} has the tariff of the channel {since}")
    else:
        output.print_line(f"{whom} has no tariff {since}")


def _instant(text: str | None) -> int | None:
    return None if text is None else parse_instant(text)


def _checked(version: TariffVersion) -> TariffVersion:
    """Return a version that the key server takes too; raises UsageError for what is absurd."""
    return version_of(version.currency, terms_of(version), version.valid_from_ms, version.valid_until_ms)
