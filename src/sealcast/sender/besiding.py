"""Owns when a run beside others asks for their keys, and whether it follows one of them or leads."""

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.sender.beside import SharedKeys
from sealcast.sender.epochs_beside import BesidePlanner

SHARE_NS = NS_PER_S
"""How often a run asks what the others send under."""

NEAR_MS = 1_500
SHARE_NEAR_NS = 200 * NS_PER_MS
"""And so often when a change is near or due: for some seconds receivers open packets under both keys."""

YOUNG_NS = 3 * NS_PER_S
"""Two that start at once find nobody: they look again soon, so that one goes along with the other."""

ALONE_NS = 4 * NS_PER_S
"""A start that no key server answers goes on by itself after this, with what slots and keys it has."""


class Beside:
    """The questions of one run; at most one is under way."""

    def __init__(self, planner: BesidePlanner, now: int) -> None:
        self._planner = planner
        self._began_ns = now
        self._due_ns: int | None = now
        self._is_under_way = False

    def wants_keys(self, now: int) -> bool:
        """Whether to ask now; True if a question is begun."""
        if self._is_under_way or self._due_ns is None or now < self._due_ns:
            return False
        self._is_under_way, self._due_ns = True, None
        return True

    def handle_shared(self, shared: SharedKeys, now: int) -> None:
        """Follow the run that leads, or lead: if we are told to, or nobody else is on air."""
        self._is_under_way = False
        planner = self._planner
        if planner.leads:
            wants_to_follow = planner.is_behind(shared)
        else:
            wants_to_follow = shared.living > 0 and not (shared.lead and planner.is_led)
        if wants_to_follow:
            planner.follow(shared, now)
        elif shared.current is not None:
            shared.current.erase()
        if not wants_to_follow and (shared.lead or planner.current is None):
            planner.lead()
        is_near = shared.remaining_ms < NEAR_MS or now - self._began_ns < YOUNG_NS
        self._due_ns = now + (SHARE_NEAR_NS if is_near else SHARE_NS)

    def handle_overtaken(self, now: int) -> bool:
        """Note that another run is on air under a later epoch: we ask for its key, and follow. True."""
        if not self._is_under_way:
            self._due_ns = now
        return True

    def handle_failed(self, now: int) -> None:
        """Note that no answer came; a run that never began does so by itself in the end."""
        self._is_under_way, self._due_ns = False, now + SHARE_NS
        if self._planner.current is None and not self._planner.is_led and now - self._began_ns >= ALONE_NS:
            self._planner.lead()

    def next_timeout(self) -> int | None:
        """Return when a question is due."""
        return None if self._is_under_way else self._due_ns
