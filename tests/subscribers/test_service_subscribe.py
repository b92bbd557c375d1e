"""Shows the decision on a device that subscribes, reason by reason, and which comes first."""

from itertools import product

import pytest

from sealcast.messages.subscribing import USER_CHARS_MAX
from sealcast.subscribers.service_subscribe import Applicant, decide, user_fault


@pytest.mark.parametrize(
    ("good", "subscribed", "open_", "problem"),
    [
        (True, False, True, None),
        (True, False, False, "channel-closed"),
        (True, True, True, "already-subscribed"),
        (False, False, True, "not-in-good-standing"),
    ],
)
def test_each_reason(*, good: bool, subscribed: bool, open_: bool, problem: str | None) -> None:
    """A device in good standing that is not subscribed gets an open channel; else it is told why not."""
    refused = decide(Applicant("TV-1", "news", good, subscribed, open_))
    assert (refused.problem if refused else None) == problem


def test_one_way_leads_in() -> None:
    """Of all cases one is a yes; what lies with the device comes before what lies with the channel."""
    answers = {case: decide(Applicant("TV-1", "news", *case)) for case in product([True, False], repeat=3)}
    assert [case for case, refused in answers.items() if refused is None] == [(True, False, True)]
    for (good, subscribed, _), refused in answers.items():
        if not good:
            assert refused is not None
            assert refused.problem == "not-in-good-standing"
        elif subscribed:
            assert refused is not None
            assert refused.problem == "already-subscribed"


def test_names_of_users() -> None:
    """A user's name is one printable line of bounded length, in any script; operators may leave it out."""
    for name in ("Ada", "Søren Kierkegaard", "山田太郎", "x" * USER_CHARS_MAX):
        assert user_fault(name) is None
    for name in ("", " ", "a\tb", "a\nb", "\x1b[2J", "x" * (USER_CHARS_MAX + 1), "a\u202eb"):
        assert user_fault(name) is not None
    assert user_fault("", is_needed=False) is None
