"""Decides when an epoch is over for good, and from what senders reported what of it is charged.

```
on air ─────────────┤ off ── settle ──► part 1      totals that rise after that ──► part 2, the difference
on air ───────── crash · · · · silence of 10 min ──► part 1, up to the last report
```
An epoch begins when the key server hears of it and ends when the server hears that it is over, but never
later than the time for which its sender says that it sent: nobody pays for the silence after a crash. Of one
that the server heard of only when it was over, bytes and packets count, and no time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealcast.billing.air import Aired
from sealcast.billing.metering import UNREPORTED

SILENT_MS = 600_000
"""A run on air reports every 5 s; after as long its sender is taken for dead, or its report comes late."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the key server knows of an epoch: what it heard and when by its own clock, and totals of all runs.

    `on_air_at_ms` is None if it never heard that the epoch was on air. While it is, `over_at_ms` is None and
    `heard_at_ms` the last report.
    """

    channel: int
    epoch: int
    cause: str | None
    fresh_at: int | None
    on_air_at_ms: int | None
    over_at_ms: int | None
    heard_at_ms: int
    duration_ms: int
    bytes: int
    packets: int


def is_settled(heard: Heard, wall_ms: int, settle_ms: int) -> bool:
    """Whether an epoch is over and its sender had `settle_ms` to say all of it, or fell silent.

    One that was over at a later instant was so before somebody set the clock back.
    """
    if heard.over_at_ms is None:
        return not 0 <= wall_ms - heard.heard_at_ms < SILENT_MS
    return not 0 <= wall_ms - heard.over_at_ms < settle_ms


def first_part(heard: Heard) -> Aired:
    """Return all that is known of a settled epoch; its turn is not, nor when it is recorded."""
    end_ms = heard.heard_at_ms if heard.over_at_ms is None else heard.over_at_ms
    start_ms = end_ms if heard.on_air_at_ms is None else heard.on_air_at_ms
    return Aired(
        channel=heard.channel,
        epoch=heard.epoch,
        cause=heard.cause or UNREPORTED,
        start_ms=start_ms,
        end_ms=max(start_ms, min(end_ms, start_ms + heard.duration_ms)),
        bytes=heard.bytes,
        packets=heard.packets,
        fresh_at=heard.fresh_at,
        given_up_at_ms=heard.heard_at_ms if heard.over_at_ms is None else None,
    )


def next_part(heard: Heard, parts: Sequence[Aired]) -> Aired | None:
    """Return by how much an epoch is more than its `parts`, at least one; None if it is not."""
    known, former_ms = first_part(heard), max(part.end_ms for part in parts)
    more = replace(
        known,
        part=parts[-1].part + 1,
        turn=parts[0].turn,
        start_ms=former_ms,
        end_ms=max(former_ms, known.end_ms),
        bytes=max(0, known.bytes - sum(part.bytes for part in parts)),
        packets=max(0, known.packets - sum(part.packets for part in parts)),
    )
    return more if more.bytes or more.packets or more.end_ms > former_ms else None
