"""Owns what one receiver asks within an epoch where something happens to it: its own planner decides.

```
epoch  0 ────────── X ────────── Y ──────────── guard ── switch
       holder: holds the key on air, asks once in the window for the next
            newcomer: asks at once; before X again in the window, from X on it is given both keys
```

A request that gets no answer is tried again as the planner says, if need be beyond the switch.
"""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import fetch_window, publish_in_ms, repair_window, spread_ms
from sealcast.receiver.fetch import FetchPlanner
from sealcast.testing import SimRandom

_CURRENT = KeyId(ChannelNumber(1), Epoch(1))
_NEXT = KeyId(ChannelNumber(1), Epoch(2))


class Draws:
    """Repeatable values for a planner, five times as fast as `SimRandom.below` gives them."""

    __slots__ = ("_random", "chance")

    def __init__(self, random: SimRandom) -> None:
        self._random = random
        self.chance = random.chance
        """Returns a uniform float in [0, 1)."""

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes."""
        return self._random.bytes(count)

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit), uniform to 2⁻⁵³ · limit."""
        return int(self.chance() * limit)


@dataclass(frozen=True, slots=True)
class Instants:
    """When things happen in an epoch, in ms from its beginning."""

    publish_ms: int
    opens_ms: int
    closes_ms: int
    switch_ms: int

    @classmethod
    def of(cls, spec: ChannelSpec, *, is_repair: bool = False) -> "Instants":
        """Return those of a channel's epochs; before a key that an update brings, of those that missed it."""
        window = (repair_window if is_repair else fetch_window)(spec, spec.lifetime_ms)
        publish_ms = publish_in_ms(spec, spec.lifetime_ms)
        return cls(publish_ms, window.opens_in_ms, window.closes_in_ms, spec.lifetime_ms)


@dataclass(slots=True)
class Life:
    """What came of one receiver: when it asked, and for how long after the switch it lacked the key."""

    asked_ms: list[int]
    late_ms: int = 0


class Lives:
    """Plays receivers of one channel, one at a time; about 10 µs for a request."""

    def __init__(
        self,
        spec: ChannelSpec,
        audience: int,
        loss: float,
        wait_ms: int,
        draws: Draws,
        *,
        missed: float = 1.0,
    ) -> None:
        """Begin; the part `loss` of the requests gets no answer, which is waited for `wait_ms`.

        Of those that hold a key the part `missed` has to ask for the next; an update brings it to the others.
        """
        self.instants = Instants.of(spec, is_repair=missed < 1)
        self._missed = missed
        self._spread_ms = spread_ms(spec, audience)
        self._loss, self._wait_ns = loss, wait_ms * NS_PER_MS
        self._draws = draws

    def play_holder(self, until_ms: int | None = None, *, is_first_lost: bool = False) -> Life:
        """Play one that holds the key on air, up to an instant or until it has the next key."""
        planner = FetchPlanner(self._draws, 0)
        planner.poll(0)
        planner.handle_answer(0, has_keys=True)
        self._tell_window(planner, 0)
        return self._play(planner, until_ms, has_current=True, is_first_lost=is_first_lost)

    def play_leaver(self, until_ms: int) -> Life:
        """Play one that holds the key on air, up to an instant."""
        return self.play_holder(until_ms) if self._misses() else Life([])

    def play_newcomer(self, begin_ms: int) -> Life:
        """Play one that holds nothing and begins at an instant."""
        return self._play(FetchPlanner(self._draws, begin_ms * NS_PER_MS), None, has_current=False)

    def _play(
        self, planner: FetchPlanner, until_ms: int | None, *, has_current: bool, is_first_lost: bool = False
    ) -> Life:
        life, switch_ms, is_switched = Life([]), self.instants.switch_ms, False
        end_ms = 2 * switch_ms if until_ms is None else until_ms
        while (due_ns := planner.next_timeout()) is not None and due_ns < end_ms * NS_PER_MS:
            due_ms = due_ns // NS_PER_MS
            if due_ms >= switch_ms and has_current and not is_switched:
                is_switched = True
                planner.want_unknown(_NEXT, switch_ms * NS_PER_MS, self._spread_ms)
                continue
            planner.poll(due_ns)
            life.asked_ms.append(due_ms)
            if is_first_lost or self._draws.chance() < self._loss:
                is_first_lost = False
                planner.handle_failure(due_ns + self._wait_ns)
                continue
            if is_switched:
                life.late_ms = due_ms - switch_ms
            has_current, has_next = True, due_ms >= self.instants.publish_ms
            planner.handle_answer(due_ns, has_keys=True, has_next=has_next)
            if has_next or not self._misses():
                break
            self._tell_window(planner, due_ms)
        else:
            life.late_ms = switch_ms if is_switched else 0
        return life

    def _misses(self) -> bool:
        return self._missed >= 1 or self._draws.chance() < self._missed

    def _tell_window(self, planner: FetchPlanner, now_ms: int) -> None:
        opens_in_ms, closes_in_ms = self.instants.opens_ms - now_ms, self.instants.closes_ms - now_ms
        planner.want_next(_CURRENT, opens_in_ms, closes_in_ms, now_ms * NS_PER_MS)
