"""Shows how instants are typed and printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.periods import format_instant
from sealcast.cli.instants import parse_instant
from sealcast.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("1970-01-01", 0),
        ("2026-03-01", 1_772_323_200_000),
        ("2026-03-01T01:00+01:00", 1_772_323_200_000),
        ("2026-03-01T00:00:00Z", 1_772_323_200_000),
        ("2026-03-01T00:00:00.250Z", 1_772_323_200_250),
        ("2026-02-28T13:00-11:00", 1_772_323_200_000),
    ],
)
def test_instants(text: str, instant_ms: int) -> None:
    """A date is midnight UTC; a time has its zone."""
    assert parse_instant(text) == instant_ms


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an instant"),
        ("tomorrow", "not an instant"),
        ("2026-02-29", "not an instant"),
        ("2026-03-01T00:00", "names no time zone; write for instance 2026-03-01T00:00Z"),
        ("1969-12-31", "before 1970"),
        ("1970-01-01T00:00+01:00", "before 1970"),
    ],
)
def test_no_instants(text: str, why: str) -> None:
    """What is none, or could be meant by any clock, is refused."""
    with pytest.raises(UsageError, match=why):
        parse_instant(text)


@given(st.integers(0, 253_370_764_800_000))
def test_what_is_printed_is_read(instant_ms: int) -> None:
    """Every instant is printed so that it is read as the same."""
    assert parse_instant(format_instant(instant_ms)) == instant_ms
