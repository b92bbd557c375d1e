"""Durations and thresholds, from text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, Suite, Threshold, format_duration, parse_duration_ms
from sealcast.core.errors import UsageError
from sealcast.core.ids import ChannelNumber


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("500ms", 500),
        ("90s", 90_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("1.5h", 5_400_000),
        ("7d", 604_800_000),
    ],
)
def test_durations(text: str, duration_ms: int) -> None:
    """Each unit stands for what it says."""
    assert parse_duration_ms(text) == duration_ms


@given(st.integers(1, 10**14))
def test_duration_round_trip(duration_ms: int) -> None:
    """Any duration is written so that it is read as the same."""
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "ms",
        "0s",
        "-1s",
        " 1s",
        "1 s",
        "1.2.3s",
        ".s",
        "1e3s",
        "1_0s",
        "\u00b2s",
        "\u0663s",
        "inf",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused with an example of what would do."""
    with pytest.raises(UsageError, match="10m"):
        parse_duration_ms(text)


@given(st.text(alphabet="0123456789.%smhdinfae-_\u00b2\u0663 ", max_size=20) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but UsageError; it may come from a server or a file."""
    for parse in (parse_duration_ms, Threshold.parse):
        try:
            parse(text)
        except UsageError:
            continue


def test_a_long_row_of_digits_is_refused() -> None:
    """A number too large for any duration is no duration."""
    with pytest.raises(UsageError):
        parse_duration_ms("9" * 400 + "s")


@given(st.decimals(min_value="0.0001", max_value="99.9999", places=4))
def test_rate_round_trip(percent: object) -> None:
    """A rate comes through a message unchanged, so that all parties reckon alike."""
    threshold = Threshold.parse(f"{percent}%")
    assert Threshold.parse(str(threshold)) == threshold
    assert float(str(threshold).rstrip("%")) == pytest.approx(float(str(percent)))


@given(st.integers(1, 10**12))
def test_time_round_trip(value_ms: int) -> None:
    """So does a time."""
    threshold = Threshold(value_ms=value_ms)
    assert Threshold.parse(str(threshold)) == threshold


def test_thresholds_of_a_lifetime() -> None:
    """A rate is a part of the lifetime; a time is itself, and never more than the lifetime."""
    assert Threshold.parse("25%").of_ms(8_000) == 2_000
    assert Threshold.parse("3s").of_ms(8_000) == 3_000
    assert Threshold.parse("30s").of_ms(8_000) == 8_000
    assert str(Threshold.parse("25.0%")) == "25%"


@pytest.mark.parametrize("text", ["0%", "100%", "-5%", "nan%", "inf%", "%", "x%", "0.00000001%", "0s", "25"])
def test_what_is_no_threshold(text: str) -> None:
    """A rate lies between 0 % and 100 %, both excluded."""
    with pytest.raises(UsageError):
        Threshold.parse(text)


@pytest.mark.parametrize(
    "wrong", [{}, {"value_ms": 5, "rate": 0.5}, {"value_ms": 0}, {"rate": 0.0}, {"rate": 1.0}]
)
def test_exactly_one_kind(wrong: dict[str, int | float]) -> None:
    """A threshold is a time or a rate, not both, not neither."""
    with pytest.raises(UsageError):
        Threshold(**wrong)  # type: ignore[arg-type]


def test_suites() -> None:
    """Names and key lengths of the suites (RFC 7714 §12); a scrambled channel's key is AES-128-GCM's."""
    assert {suite.value: suite.key_bytes for suite in Suite} == {
        "aes-128-gcm": 16,
        "aes-256-gcm": 32,
        "scramble": 16,
    }


@pytest.mark.parametrize(("fresh_every_ms", "epochs"), [(600_000, 1), (3_600_000, 6), (3_599_999, 5), (1, 1)])
def test_a_chain_has_as_many_epochs_as_fit_before_its_fresh_start(fresh_every_ms: int, epochs: int) -> None:
    """T2 / T1, and one at least."""
    spec = ChannelSpec(
        number=ChannelNumber(1), name="n", group="239.1.1.1", port=5004, fresh_every_ms=fresh_every_ms
    )
    assert spec.fresh_epochs == epochs
