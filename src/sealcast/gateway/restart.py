"""Owns whether a channel that ended starts again, and after how long; pure decisions."""

from typing import Literal

from sealcast.core.errors import RefusedError
from sealcast.core.ports import NS_PER_S, Random

Restart = Literal["never", "on-failure", "always"]
"""When a channel of many starts again: not at all, when it failed, or also when its stream ended."""

FIRST_WAIT_NS = NS_PER_S
WAIT_NS_MAX = 60 * NS_PER_S
"""The wait doubles from the one to the other: an input that is gone for hours is looked for once a minute."""

STEADY_NS = 60 * NS_PER_S
"""After a run as long as this the next wait is a short one again."""

DOUBLINGS_MAX = 6

OVERTAKEN = "overtaken"
"""Two senders that took a channel from each other in turn would change its keys for ever."""


def starts_again(restart: Restart, failure: Exception | None) -> bool:
    """Whether a channel starts again after a run that ended well (None) or with a failure."""
    if isinstance(failure, RefusedError) and failure.type == OVERTAKEN:
        return False
    return restart == "always" or (restart == "on-failure" and failure is not None)


class Backoff:
    """Decides how long to wait before each start; half of a wait is random, so that channels do not meet."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._short_runs = 0

    def wait_ns(self, ran_ns: int) -> int:
        """Return the wait after a run that lasted `ran_ns`."""
        self._short_runs = 0 if ran_ns >= STEADY_NS else min(self._short_runs + 1, DOUBLINGS_MAX + 1)
        longest_ns = min(FIRST_WAIT_NS << max(0, self._short_runs - 1), WAIT_NS_MAX)
        return longest_ns // 2 + self._random.below(longest_ns // 2 + 1)
