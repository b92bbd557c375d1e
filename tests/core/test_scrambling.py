"""The policy of a scrambled channel as text."""

import pytest

from sealcast.core.errors import UsageError
from sealcast.core.scrambling import PatternPolicy


@pytest.mark.parametrize(
    "text", ["single;128;10000ms", "a,~a@13;4;1000000B,500p,10ms", "two-times;4096;1p", "inverted;32;8B"]
)
def test_text_and_back(text: str) -> None:
    """What is read is written the same."""
    assert str(PatternPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "single", "single;128", "single;x;10ms", "single;128;", "single;128;0ms", "single;128;10s",
     "single;128;1p,2p", "single;128;10ms;", "single;-1;10ms", "single;128;1p,"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """A line that is no policy says so."""
    with pytest.raises(UsageError, match="not a policy"):
        PatternPolicy.parse(text)
