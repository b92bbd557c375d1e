"""Owns timelines: which prices a device has on a channel at each instant, of all tariffs assigned there.

```
channel's   │ basic ──────────────────────┬ basic, version 2 ──── │ premium ──────
device's          │ staff ─────── │ none
together    │ basic │ staff ───── │ basic ┬ basic, version 2 ──── │ premium ──────
```
What a device was assigned stands over what its channel has, until it is assigned none. Together they are one
tariff for each currency, whose versions begin where a tariff, or a version of one, begins to apply.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from sealcast.billing.tariffs import Tariff, TariffVersion
from sealcast.core.errors import LocalError


@dataclass(frozen=True, slots=True)
class Assignment:
    """From `from_ms` on a channel has a tariff, or none; for a `device`, or all without their own (None)."""

    from_ms: int
    tariff: str | None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version of a timeline comes from: a tariff, and since when that version of it is valid."""

    tariff: str
    valid_from_ms: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """What applies in one currency; `sources` has an entry for each version of `tariff`, by its first ms."""

    tariff: Tariff
    sources: Mapping[int, Source]


def timelines(
    assignments: Iterable[Assignment], device: str, tariffs: Mapping[str, Tariff]
) -> tuple[Timeline, ...]:
    """Return what applies to a device on a channel, a timeline for each currency, by its code.

    `assignments` are all of the channel; those of other devices count for nothing. At every instant at most
    one version applies, so its first instant names it in all currencies. A later assignment moves nothing
    before it. Raises LocalError if a tariff is not among `tariffs`.

    Devices without an assignment of their own have the same: work it out once for each channel.
    """
    versions: dict[str, list[TariffVersion]] = {}
    sources: dict[str, dict[int, Source]] = {}
    for name, start_ms, end_ms in _stretches(assignments, device):
        if name not in tariffs:
            raise LocalError(f"a channel is assigned tariff {name!r}, which is not recorded")
        for version in _clipped(tariffs[name], start_ms, end_ms):
            versions.setdefault(version.cut.currency, []).append(version.cut)
            sources.setdefault(version.cut.currency, {})[version.cut.valid_from_ms] = version.source
    return tuple(Timeline(Tariff("", tuple(versions[code])), sources[code]) for code in sorted(versions))


def _stretches(assignments: Iterable[Assignment], device: str) -> list[tuple[str, int, int | None]]:
    """Return (tariff, start, end) of the stretches in which one tariff applies, in order of time."""
    mine = sorted(
        (each for each in assignments if each.device in {None, device}), key=lambda each: each.from_ms
    )
    general: str | None = None
    own: str | None = None
    changes: list[tuple[int, str | None]] = []
    for each in mine:
        if each.device is None:
            general = each.tariff
        else:
            own = each.tariff
        applies = general if own is None else own
        if changes and changes[-1][0] == each.from_ms:
            changes.pop()
        if applies != (changes[-1][1] if changes else None):
            changes.append((each.from_ms, applies))
    ends = (at_ms for at_ms, _ in changes[1:])
    return [
        (name, start_ms, end_ms)
        for (start_ms, name), end_ms in zip_longest(changes, ends)
        if name is not None
    ]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A version of a tariff as far as it applies, and what it was cut from."""

    cut: TariffVersion
    source: Source


def _clipped(tariff: Tariff, start_ms: int, end_ms: int | None) -> list[_Cut]:
    """Return the versions of a tariff as they apply within a stretch."""
    found = []
    followed = [each.valid_from_ms for each in tariff.versions[1:]]
    for version, following_ms in zip_longest(tariff.versions, followed):
        first = max(version.valid_from_ms, start_ms)
        bounds = [end_ms, version.valid_until_ms, following_ms]
        last = min((bound for bound in bounds if bound is not None), default=None)
        if last is None or first < last:
            cut = replace(version, valid_from_ms=first, valid_until_ms=last)
            found.append(_Cut(cut, Source(tariff.name, version.valid_from_ms)))
    return found
