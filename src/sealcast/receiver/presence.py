"""Owns when a receiver says that it is still there, and what it says (S3-3).

```
grant ──► first beat: a random instant within the interval ──► + interval ──► + interval …
```

The instants of a receiver lie on a grid of its own, drawn once: what brings all receivers to the key server
together, a key change or its return, does not bring their heartbeats together. A key request tells as much
as a heartbeat, and one that comes less than half an interval after it is left out. So there is at most one
interval and a half between two signs of life; the key server waits for three.
"""

from dataclasses import dataclass

from sealcast.core.ports import NS_PER_MS, Random
from sealcast.receiver.session import ReceiverSession

HEARTBEAT_MS_MIN = 100
HEARTBEAT_MS_MAX = 3_600_000
"""An interval beyond these is brought back to them: no test wants more than ten a second."""

RETRY_PARTS = 4
"""Without an answer the next try comes within a quarter of the interval, then a half, then a whole one."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a receiver says of itself: the key on air, the packets opened, the index of the last of them."""

    key_id: str | None
    packets: int
    last_index: int | None


def sign_of(session: ReceiverSession, now: int) -> Sign:
    """Return what a receiver says of itself at this moment."""
    state = session.state(now)
    key_id = str(state.key_id) if state.key_id is not None else None
    return Sign(key_id, session.stats.opened, state.last_index)


class Presence:
    """Decides the instant of the next heartbeat; `missed` counts those in a row without an answer.

    `every_ns` is the interval, 0 if none is wanted; `is_under_way` says that one waits for its answer.
    """

    __slots__ = ("_due_ns", "_grid_ns", "_random", "_told_ns", "every_ns", "is_under_way", "missed")

    def __init__(self, random: Random) -> None:
        self._random = random
        self.every_ns = 0
        self._grid_ns = 0
        self._due_ns: int | None = None
        self._told_ns: int | None = None
        self.is_under_way = False
        self.missed = 0

    def handle_grant(self, heartbeat_ms: int, now: int) -> None:
        """Take the interval that a grant tells, 0 for none; the key request behind it was a sign of life."""
        self._told_ns = now
        self._take_interval(heartbeat_ms, now)
        if self.every_ns and not self.is_under_way:
            self.missed = 0
            self._due_ns = self._next_on_grid(now)

    def handle_answer(self, every_ms: int, now: int) -> None:
        """Note that a heartbeat was answered, and how often the key server wants one from now on."""
        self.is_under_way, self.missed, self._told_ns = False, 0, None
        self._take_interval(every_ms, now)
        self._due_ns = self._next_on_grid(now) if self.every_ns else None

    def handle_failure(self, now: int, retry_after_ns: int | None = None) -> None:
        """Note that no answer came, or a no that may change; the next try comes sooner, at random."""
        self.is_under_way = False
        if not self.every_ns:
            return
        step_ns = min(self.every_ns, (self.every_ns // RETRY_PARTS) << min(self.missed, RETRY_PARTS))
        self.missed += 1
        delay_ns = step_ns // 2 + self._random.below(step_ns // 2 + 1)
        self._due_ns = now + max(delay_ns, min(retry_after_ns or 0, self.every_ns))

    def poll(self, now: int) -> bool:
        """Whether to send one now; True begins it, and one of the `handle_*` ends it."""
        if self.is_under_way or self._due_ns is None or now < self._due_ns:
            return False
        self.is_under_way, self._due_ns = True, None
        return True

    def next_timeout(self) -> int | None:
        """Return when `poll` has something to send."""
        return self._due_ns

    def _take_interval(self, every_ms: int, now: int) -> None:
        every_ns = min(max(every_ms, HEARTBEAT_MS_MIN), HEARTBEAT_MS_MAX) * NS_PER_MS if every_ms > 0 else 0
        if every_ns == self.every_ns:
            return
        self.every_ns, self._due_ns = every_ns, None
        # At least 1 ns: an instant that is not past.
        self._grid_ns = now + 1 + self._random.below(every_ns) if every_ns else 0

    def _next_on_grid(self, now: int) -> int:
        """Return the first instant of the grid that is to come, and no sooner than a key request allows."""
        first_of_all = self._grid_ns > now
        after_ns = now
        if self._told_ns is not None and not first_of_all:
            after_ns = max(now, self._told_ns + self.every_ns // 2)
        steps = -(-(after_ns + 1 - self._grid_ns) // self.every_ns)
        return self._grid_ns + max(0, steps) * self.every_ns
