"""Owns how often a sender tries what it asks of the world: one of a kind at a time, then again later."""

from dataclasses import dataclass, field

from sealcast.core.ports import NS_PER_MS

RETRY_NS = 250 * NS_PER_MS
RETRY_NS_MAX = 2_000 * NS_PER_MS
"""An action that got no answer comes again after 0.25 s, doubling to 2 s: senders are few."""

FAILURES_LOG2_MAX = 8
"""No power of two beyond it is worked out."""


@dataclass(slots=True)
class Attempt:
    """One kind of action: whether it is under way, and when it may come again."""

    under_way: bool = False
    failures: int = 0
    again_ns: int = 0

    def is_free(self, now: int) -> bool:
        """Whether the action may be begun."""
        return not self.under_way and now >= self.again_ns

    def fail(self, now: int) -> None:
        """Note that nothing came of it: it comes again later."""
        self.under_way = False
        self.again_ns = now + min(RETRY_NS << min(self.failures, FAILURES_LOG2_MAX), RETRY_NS_MAX)
        self.failures += 1

    def succeed(self) -> None:
        """Note that it was done."""
        self.under_way, self.failures, self.again_ns = False, 0, 0


@dataclass(slots=True)
class Attempts:
    """One `Attempt` for each kind of action."""

    lease: Attempt = field(default_factory=Attempt)
    key: Attempt = field(default_factory=Attempt)
    consume: Attempt = field(default_factory=Attempt)
