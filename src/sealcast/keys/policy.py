"""Owns the instants of a key change, as remaining times of the epoch on air (S1-2).

```
remaining  lifetime ──── X ──────────── Y ───────── guard ── 0
                         │ publish      │ fetch window │     │ switch
```

X and Y come from the channel. The fetch window ends a guard before the switch, so that a receiver whose
first try fails has time for another (weakness 2: a fixed instant would bring all receivers at once). A change
that is commanded, because a device was removed, gives receivers a window W instead of Y (weakness 3).
"""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec

GUARD_RATE = 0.2
"""Part of Y kept free before the switch, for second tries."""

GUARD_MS_MIN = 100
"""No guard is shorter: a fetch takes a few round trips."""

SPREAD_MS_MAX = 4_000
"""Packets wait 5 s for their key (receiver.pending): who asks within 4 s and is answered loses none."""

AUDIENCE_AT_ONCE = 50
"""So many may ask in the same millisecond: a key server answers them all within a fifth of a second."""

COMMAND_WINDOW_MS_MIN = 2_000
"""The shortest W: three SEAL packets, a try that fails and another take less."""

ASKED_PER_S = 300
"""Questions a second that one key server answers with ease; a larger audience spreads them to that."""

GRACE_MS = 10_000
"""The previous key goes when unused for min(this, lifetime)."""

GRACE_MS_MAX = 60_000
"""And at the latest this long after the announced switch."""


@dataclass(frozen=True, slots=True)
class Window:
    """When receivers fetch the next key, in ms from now; `opens_in_ms` ≤ `closes_in_ms`, both ≥ 0."""

    opens_in_ms: int
    closes_in_ms: int


def publish_in_ms(spec: ChannelSpec, remaining_ms: int) -> int:
    """Return in how many ms the next key is due at the key server, 0 if it is due now."""
    return max(0, remaining_ms - spec.publish_at.of_ms(spec.lifetime_ms))


def prefetch_ms(spec: ChannelSpec) -> int:
    """Return Y: how long before a scheduled switch the fetch window opens."""
    return spec.prefetch_at.of_ms(spec.lifetime_ms)


def fetch_window(spec: ChannelSpec, remaining_ms: int, opens_before_ms: int | None = None) -> Window:
    """Return the window in which receivers draw their instant, for an epoch with `remaining_ms` left.

    It opens `opens_before_ms` before the switch, Y unless given.
    """
    before_ms = prefetch_ms(spec) if opens_before_ms is None else opens_before_ms
    opens_in_ms = max(0, remaining_ms - before_ms)
    return Window(opens_in_ms, max(opens_in_ms, remaining_ms - guard_ms(spec, before_ms)))


def repair_window(spec: ChannelSpec, remaining_ms: int, opens_before_ms: int | None = None) -> Window:
    """Return when receivers of a chain that missed its update ask for it: the later half of a fetch window.

    The update is repeated in the half before (`update_spacing_ms`).
    """
    before_ms = prefetch_ms(spec) if opens_before_ms is None else opens_before_ms
    usable_ms = before_ms - guard_ms(spec, before_ms)
    opens_in_ms = max(0, remaining_ms - before_ms + usable_ms // 2)
    return Window(opens_in_ms, max(opens_in_ms, remaining_ms - guard_ms(spec, before_ms)))


def update_spacing_ms(spec: ChannelSpec, opens_before_ms: int | None = None) -> int:
    """Return how far apart the repeats of an update are sent, the first when the fetch window opens.

    They take the first half of the window, so that one burst of loss does not take them all.
    """
    before_ms = prefetch_ms(spec) if opens_before_ms is None else opens_before_ms
    return (before_ms - guard_ms(spec, before_ms)) // 2 // spec.repeats


def guard_ms(spec: ChannelSpec, opens_before_ms: int | None = None) -> int:
    """Return how long before a switch a fetch window ends; it opens `opens_before_ms` (or Y) before it."""
    before_ms = prefetch_ms(spec) if opens_before_ms is None else opens_before_ms
    return min(before_ms, max(GUARD_MS_MIN, int(before_ms * GUARD_RATE)))


def command_window_ms(spec: ChannelSpec, audience: int) -> int:
    """Return W: how long an audience has to fetch the key of a change that is commanded.

    Never more than Y, which is what it has at each change of the schedule.
    """
    return min(prefetch_ms(spec), max(COMMAND_WINDOW_MS_MIN, audience * 1_000 // ASKED_PER_S))


def spread_ms(spec: ChannelSpec, audience: int) -> int:
    """Return over how many ms an audience spreads a question that no window foretold.

    A sender that starts again, or for the first time, is met by all its receivers in the same millisecond. A
    few of them ask at once; many no faster than in a fetch window, unless that would cost them packets.
    """
    longest_ms = min(SPREAD_MS_MAX, spec.prefetch_at.of_ms(spec.lifetime_ms) - guard_ms(spec))
    return min(longest_ms, max(0, audience - AUDIENCE_AT_ONCE) * 1_000 // ASKED_PER_S)


def grace_ms(lifetime_ms: int) -> int:
    """Return how long an unused previous key is kept."""
    return min(GRACE_MS, lifetime_ms)
