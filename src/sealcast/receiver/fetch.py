"""Owns when a receiver asks for keys: one pending fetch per channel, whatever triggered it (S1-2, S1-3).

| trigger                                   | when it asks                                          |
|-------------------------------------------|-------------------------------------------------------|
| joining                                   | at once                                               |
| a packet under a key ID we do not hold    | at an instant drawn from the spread that the grant    |
|                                           | told (at once before the first), but once in 2 s      |
| the next key is announced, or told by a grant | at an instant drawn uniformly from the window     |
| another one is announced in its place     | at an instant drawn anew                              |
| its window opens earlier or later than we thought | at an instant drawn anew                      |
| the next key came by an update on the air | not at all                                            |
| the key server says that it ended         | at an instant drawn from a few seconds                |
| no answer                                 | after 0.25 s, doubling to 10 s, with a random half     |
| permitted, but no key yet                 | after 10 s, with a random half                        |

All receivers meet a sender's restart, and the start of a stream, in the same millisecond: that is why the
question after an unknown key ID has a spread, as long as its audience needs. Packets wait meanwhile.
"""

from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random

UNKNOWN_KEY_NS = 2 * NS_PER_S
"""Made-up key IDs make a receiver ask at most so often."""

RETRY_NS = 250 * NS_PER_MS
RETRY_NS_MAX = 10 * NS_PER_S
NO_KEY_YET_NS = 10 * NS_PER_S
"""Who waits for a stream to begin need not hurry: its first packets say that there is a key."""

AGAIN_NS = 500 * NS_PER_MS
"""A next key that was not published when asked for is asked for again after this, doubling to 10 s."""

LATE_NS = 100 * NS_PER_MS
"""As long as the shortest guard: the network makes announcements of one window differ by less."""

RETRIES_LOG2_MAX = 6

REFUSED_RETRY_NS = 10 * NS_PER_S
"""Told to wait, or while the keys held still open the stream, a refused receiver asks again after this."""

SERVER_FAULT_STATUS = 500
"""From this HTTP status on a no is no decision: the server is overloaded, or its disk is full."""


def draw_in_ms(random: Random, opens_in_ms: int, span_ms: int) -> int:
    """Return in how many ms a receiver asks: at an instant of its own in a window `span_ms` long."""
    return opens_in_ms + random.below(span_ms + 1)


class FetchPlanner:
    """Decides the instant of the next key request."""

    __slots__ = (
        "_announced",
        "_asks_why",
        "_drawn_for",
        "_due_ns",
        "_failures",
        "_is_idle",
        "_is_moot",
        "_misses",
        "_opens_ns",
        "_random",
        "_seen",
        "_under_way",
        "_unknown_asked_ns",
        "_unknown_ns",
    )

    def __init__(self, random: Random, now: int) -> None:
        self._random = random
        self._due_ns: int | None = now
        self._unknown_ns: int | None = None
        self._opens_ns = now
        self._under_way = False
        self._is_moot = False
        self._asks_why = False
        self._is_idle = False
        self._failures = 0
        self._unknown_asked_ns: int | None = None
        self._drawn_for: KeyId | None = None
        self._announced: KeyId | None = None
        self._misses = 0
        self._seen: KeyId | None = None

    @property
    def seen(self) -> KeyId | None:
        """The key ID on the air that made us ask, if any."""
        return self._seen

    @property
    def announced(self) -> KeyId | None:
        """The next key ID that the stream announced, if any."""
        return self._announced

    def want_unknown(self, key_id: KeyId, now: int, spread_ms: int = 0) -> None:
        """Ask within `spread_ms` because a packet names a key that we do not hold."""
        self._seen = key_id
        if self._unknown_ns is None:
            if self._is_idle:
                self._due_ns = None  # What we waited for has begun: the instant drawn now takes its place.
            at_ns = now + self._random.below(spread_ms + 1) * NS_PER_MS
            asked_ns = self._unknown_asked_ns
            self._unknown_ns = at_ns if asked_ns is None else max(at_ns, asked_ns + UNKNOWN_KEY_NS)

    def want_next(
        self,
        current: KeyId,
        opens_in_ms: int,
        closes_in_ms: int,
        now: int,
        *,
        announced: KeyId | None = None,
    ) -> None:
        """Ask in the window for the key after `current`; the instant is drawn once for each window.

        A key that was not there yet is asked for again, `AGAIN_NS` later at the earliest. `announced` is the
        next key's ID once it is there: then a fresh instant takes the place of second tries, or of what was
        asked for another key that never comes (a removal skips those that the device removed has), or of one
        that is outside the window now: a removal brings the switch forward, a fresh start of a chain has more
        time than the repair of an update.
        """
        is_first = self._drawn_for != current
        if is_first:
            self._drawn_for, self._announced, self._misses = current, announced, 0
        elif announced is not None and (self._announced is None or announced > self._announced):
            is_other, self._announced = self._announced is not None, announced
            if is_other or self._misses or self._failures:
                self._misses, self._failures, self._due_ns, is_first = 0, 0, None, True
        opens_ns, closes_ns = now + opens_in_ms * NS_PER_MS, now + closes_in_ms * NS_PER_MS
        if announced is not None and self._is_outdated(opens_ns, closes_ns, now):
            self._due_ns, is_first = None, True
        if not is_first and (self._under_way or self._due_ns is not None):
            return
        if is_first:
            self._opens_ns = opens_ns
        span_ms = max(0, closes_in_ms - opens_in_ms)
        delay_ns = draw_in_ms(self._random, opens_in_ms, span_ms) * NS_PER_MS
        if not is_first and opens_in_ms == 0:
            delay_ns = max(delay_ns, min(AGAIN_NS << min(self._misses, RETRIES_LOG2_MAX), RETRY_NS_MAX))
            self._misses += 1
        self._advance_to(now + delay_ns)

    def want_why(self, now: int, spread_ms: int) -> None:
        """Ask within `spread_ms` because the key server says that something ended."""
        if not self._under_way:
            self._asks_why = True
            self._advance_to(now + self._random.below(spread_ms + 1) * NS_PER_MS)

    def poll(self, now: int) -> bool:
        """Whether to ask now; True starts the request, which one of the `handle_*` ends."""
        due_ns = self.next_timeout()
        if due_ns is None or now < due_ns:
            return False
        if self._unknown_ns is not None and now >= self._unknown_ns:
            self._unknown_asked_ns = now
        self._under_way, self._due_ns, self._unknown_ns = True, None, None
        self._is_moot = False
        return True

    def handle_answer(self, now: int, *, has_keys: bool, has_next: bool = False) -> None:
        """Note that a grant came, with keys or without any yet; a key still unknown is met again."""
        self._under_way, self._failures, self._seen, self._unknown_ns = False, 0, None, None
        self._asks_why = False
        if has_next:
            self._due_ns = None
        self._is_idle = not has_keys
        if not has_keys:
            self._advance_to(now + self._some_of(NO_KEY_YET_NS))

    def handle_followed(self) -> None:
        """Note that the next key came over the air: there is nothing to ask, or to try again, but why."""
        if self._asks_why:
            return
        self._due_ns, self._drawn_for, self._announced = None, None, None
        self._misses, self._failures, self._is_moot = 0, 0, self._under_way

    def handle_failure(self, now: int, retry_after_ns: int | None = None) -> None:
        """Note that no answer came, or a no that may change; ask again later."""
        self._under_way, self._is_idle = False, False
        if self._is_moot:
            return
        delay_ns = self._some_of(RETRY_NS, self._failures, retry_after_ns)
        self._failures += 1
        self._advance_to(now + delay_ns)

    def next_timeout(self) -> int | None:
        """Return when `poll` has something to ask."""
        if self._under_way:
            return None
        if self._due_ns is None or self._unknown_ns is None:
            return self._unknown_ns if self._due_ns is None else self._due_ns
        return min(self._due_ns, self._unknown_ns)

    def _is_outdated(self, opens_ns: int, closes_ns: int, now: int) -> bool:
        """Whether the instant drawn does not fit the window; second tries have their own steps.

        It lies outside, or was drawn for a window that opened later: then few would ask in the time before.
        """
        if self._due_ns is None or self._misses or self._failures or self._asks_why:
            return False
        is_early = now < opens_ns and self._due_ns < opens_ns - LATE_NS
        is_late = self._due_ns > closes_ns + LATE_NS
        return is_early or is_late or opens_ns < self._opens_ns - LATE_NS

    def _some_of(self, first_ns: int, tries: int = 0, least_ns: int | None = None) -> int:
        """Return a step that doubles with the tries; half of it is random, half fixed, or `least_ns`."""
        step_ns = min(first_ns << min(tries, RETRIES_LOG2_MAX), RETRY_NS_MAX)
        jitter_ns = self._random.below(step_ns // 2 + 1)
        return (step_ns // 2 if least_ns is None else least_ns) + jitter_ns

    def _advance_to(self, due_ns: int) -> None:
        if self._due_ns is None or due_ns < self._due_ns:
            self._due_ns = due_ns
