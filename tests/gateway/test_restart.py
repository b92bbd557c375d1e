"""Shows when a channel of many starts again, and how the waits grow."""

import pytest

from sealcast.core.errors import LocalError, RefusedError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.gateway.restart import STEADY_NS, WAIT_NS_MAX, Backoff, Restart, starts_again
from sealcast.testing import SimRandom


@pytest.mark.parametrize(
    ("restart", "failure", "expected"),
    [
        ("never", None, False),
        ("never", UsageError("no input"), False),
        ("on-failure", None, False),
        ("on-failure", UsageError("no input"), True),
        ("on-failure", LocalError("disk full"), True),
        ("always", None, True),
        ("always", UsageError("no input"), True),
        ("always", RefusedError("not-subscribed", "no"), True),
        ("always", RefusedError("overtaken", "another run sends"), False),
    ],
)
def test_what_starts_again(restart: Restart, failure: Exception | None, expected: bool) -> None:  # noqa: FBT001
    """The setting decides; a channel that another sender took over is left to it."""
    assert starts_again(restart, failure) is expected


def test_waits_double_up_to_a_minute() -> None:
    """Each wait lies between half of its step and all of it; the steps double from 1 s to 60 s."""
    backoff = Backoff(SimRandom("backoff"))
    steps_s = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for step_s in steps_s:
        assert step_s * NS_PER_S // 2 <= backoff.wait_ns(0) <= step_s * NS_PER_S
    assert backoff.wait_ns(0) <= WAIT_NS_MAX


def test_a_steady_run_forgets_the_failures_before() -> None:
    """After a minute of running the next wait is a second again."""
    backoff = Backoff(SimRandom("backoff"))
    for _ in range(8):
        backoff.wait_ns(0)
    assert backoff.wait_ns(STEADY_NS) <= NS_PER_S
