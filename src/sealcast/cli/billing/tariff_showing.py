"""Owns how tariffs are shown: as rows of a list, in words, or as the file that makes one again.

Imported by commands when they run, not for their help.
"""

from collections.abc import Sequence

from sealcast.billing.periods import format_instant
from sealcast.billing.pricelines import format_percent, format_price
from sealcast.billing.tariffs import Tariff, TariffVersion
from sealcast.billing.terms import version_of
from sealcast.cli.tariff_file import TariffFile, format_file
from sealcast.core.ports import NS_PER_MS
from sealcast.ledger.money import format_micro
from sealcast.messages.charging import AssignmentRow, TariffRow
from sealcast.transport.system import SystemClock


def now_ms() -> int:
    """Return this machine's time: which version to show needs no better one."""
    return SystemClock().wall_ns() // NS_PER_MS


def tariff_of(row: TariffRow) -> Tariff:
    """Return a tariff as it was listed."""
    versions = [version_of(row.currency, each.terms, each.from_ms, each.until_ms) for each in row.versions]
    return Tariff(row.name, tuple(versions))


def rows(
    tariffs: Sequence[TariffRow], assignments: Sequence[AssignmentRow], at_ms: int
) -> list[tuple[str, ...]]:
    """Return the rows of a list: each tariff as it is at an instant, with the channels that have it then."""
    channels = _channels_at(assignments, at_ms)
    return [_row(tariff_of(each), channels.get(each.name, []), at_ms) for each in tariffs]


def in_words(row: TariffRow, assignments: Sequence[AssignmentRow]) -> str:
    """Return all that there is to a tariff, in lines."""
    lines = [f"tariff {row.name}, in {row.currency}"]
    for version in tariff_of(row).versions:
        until = "" if version.valid_until_ms is None else f" until {format_instant(version.valid_until_ms)}"
        lines.append(f"from {format_instant(version.valid_from_ms)}{until}")
        lines += [f"  {each}" for each in _terms(version)]
    for each in assignments:
        whom = each.channel_name if each.device is None else f"{each.device} on {each.channel_name}"
        lines.append(f"assigned to {whom} from {format_instant(each.from_ms)}")
    return "\n".join(lines)


def as_file(row: TariffRow, assignments: Sequence[AssignmentRow], at_ms: int) -> str:
    """Return the version of a tariff at an instant as a file; if none is valid then, the newest.

    Its channels are those that were assigned the tariff from the version's first instant on.
    """
    version = shown_version(tariff_of(row), at_ms)
    channels = [
        each.channel_name
        for each in assignments
        if each.device is None and each.from_ms == version.valid_from_ms and each.tariff == row.name
    ]
    return format_file(TariffFile(version, row.name, version.valid_from_ms, channels))


def shown_version(tariff: Tariff, at_ms: int) -> TariffVersion:
    """Return the version valid at an instant, or the newest if none is."""
    return tariff.version_at(at_ms) or tariff.versions[-1]


def _row(tariff: Tariff, channels: Sequence[str], at_ms: int) -> tuple[str, ...]:
    version = shown_version(tariff, at_ms)
    until = "-" if version.valid_until_ms is None else format_instant(version.valid_until_ms)
    since, prices = format_instant(version.valid_from_ms), "; ".join(_terms(version))
    return (tariff.name, tariff.currency, since, until, prices, ", ".join(channels) or "-")


def _terms(version: TariffVersion) -> list[str]:
    """Return the prices of a version, its minimum, cap and tax, each in words."""
    found = [format_price(price) for price in version.prices]
    found += [f"minimum {format_micro(version.minimum_micro)}"] if version.minimum_micro else []
    found += [f"cap {format_micro(version.cap_micro)}"] if version.cap_micro is not None else []
    found += [f"tax {format_percent(version.tax_ppm)} % on top"] if version.tax_ppm else []
    return found


def _channels_at(assignments: Sequence[AssignmentRow], at_ms: int) -> dict[str, list[str]]:
    """Return for each tariff the channels that have it at an instant."""
    latest: dict[int, AssignmentRow] = {}
    for each in sorted(assignments, key=lambda one: one.from_ms):
        if each.device is None and each.from_ms <= at_ms:
            latest[each.channel] = each
    found: dict[str, list[str]] = {}
    for each in latest.values():
        if each.tariff is not None:
            found.setdefault(each.tariff, []).append(each.channel_name)
    return {tariff: sorted(names) for tariff, names in found.items()}
