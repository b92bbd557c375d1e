"""Which channels there may be, and how they travel."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, KeyMaker, Suite, Threshold
from sealcast.core.errors import UsageError
from sealcast.core.ids import ChannelNumber
from sealcast.messages.channels import (
    LIFETIME_MS_MAX,
    LIFETIME_MS_MIN,
    ChannelData,
    channel_data,
    channel_spec,
)
from sealcast.messages.encoding import decode, encode
from sealcast.messages.scrambling import default_policy


def channel(**changes: object) -> ChannelData:
    """Return a good channel with these fields changed."""
    fields: dict[str, object] = {"name": "news", "group": "239.1.2.3", "port": 5004, **changes}
    return ChannelData(**fields)  # type: ignore[arg-type]


def test_defaults() -> None:
    """Name, group and port suffice; the rest is what the command line promises."""
    assert channel_spec(channel()) == ChannelSpec(
        number=ChannelNumber(0),
        name="news",
        group="239.1.2.3",
        port=5004,
        source=None,
        interface=None,
        suite=Suite.AES_128_GCM,
        keys=KeyMaker.SENDER,
        lifetime_ms=600_000,
        publish_at=Threshold(rate=0.5),
        prefetch_at=Threshold(rate=0.25),
    )
    assert channel_spec(channel()).control_port == 5005


THRESHOLDS = st.integers(1, 999_999).map(lambda millionths: Threshold(rate=millionths / 1_000_000))
SPECS = st.builds(
    ChannelSpec,
    number=st.integers(0, 0xFFFFFFFF).map(ChannelNumber),
    name=st.from_regex(r"\A[a-z][a-z0-9._-]{0,40}\Z"),
    group=st.sampled_from(["239.1.2.3", "224.0.1.9", "ff3e::8000:1", "ff02::1:5"]),
    port=st.integers(1, 32_767).map(lambda half: 2 * half),
    interface=st.none() | st.just("eth0"),
    suite=st.sampled_from(Suite),
    keys=st.sampled_from(KeyMaker),
    lifetime_ms=st.integers(LIFETIME_MS_MIN, LIFETIME_MS_MAX),
    publish_at=THRESHOLDS,
    prefetch_at=THRESHOLDS,
).map(lambda spec: replace(spec, patterns=default_policy("news")) if spec.suite is Suite.SCRAMBLE else spec)


@given(SPECS)
def test_round_trip(spec: ChannelSpec) -> None:
    """A channel comes through a message unchanged, or is refused at both ends for its thresholds."""
    data = decode(encode(channel_data(spec)), ChannelData)
    if spec.prefetch_at.of_ms(spec.lifetime_ms) >= spec.publish_at.of_ms(spec.lifetime_ms):
        with pytest.raises(UsageError, match="--prefetch-at"):
            channel_spec(data)
    else:
        assert channel_spec(data) == spec


@pytest.mark.parametrize(
    "changes",
    [
        {"group": "232.1.1.1", "source": "10.0.0.1"},
        {"group": "ff3e::1", "source": "2001:db8::1"},
        {"group": "239.1.2.3", "source": "10.0.0.1"},
        {"port": 2},
        {"port": 65_534},
        {"name": "n" * 64},
        {"name": "News_24.hd-1"},
        {"lifetime_ms": LIFETIME_MS_MIN},
        {"lifetime_ms": LIFETIME_MS_MAX},
        {"publish_at": "90s", "prefetch_at": "30s"},
        {"suite": "aes-256-gcm", "keys": "keyserver"},
        {"number": 0xFFFFFFFF},
    ],
    ids=str,
)
def test_good_channels(changes: dict[str, object]) -> None:
    """What the rules allow."""
    channel_spec(channel(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "not a channel name"),
        ({"name": "n" * 65}, "not a channel name"),
        ({"name": "two words"}, "not a channel name"),
        ({"name": "../etc"}, "not a channel name"),
        ({"name": "caf\u00e9"}, "not a channel name"),
        ({"name": "..."}, "not a channel name"),
        ({"name": "42"}, "not a channel name"),
        ({"group": "news.example"}, "numeric"),
        ({"group": "10.0.0.1"}, "not a multicast group"),
        ({"group": "2001:db8::1"}, "not a multicast group"),
        ({"group": "232.1.1.1"}, "--source"),
        ({"source": "nobody"}, "numeric"),
        ({"source": "239.1.2.4"}, "cannot be the source"),
        ({"source": "2001:db8::1"}, "cannot be the source"),
        ({"port": 5005}, "even"),
        ({"port": 0}, "even"),
        ({"port": -2}, "even"),
        ({"port": 65_536}, "even"),
        ({"suite": "aes-cbc"}, "aes-256-gcm"),
        ({"keys": "nobody"}, "keyserver"),
        ({"lifetime_ms": LIFETIME_MS_MIN - 1}, "1s and 7d"),
        ({"lifetime_ms": LIFETIME_MS_MAX + 1}, "1s and 7d"),
        ({"publish_at": "25%", "prefetch_at": "25%"}, "--prefetch-at"),
        ({"publish_at": "10m", "prefetch_at": "20m"}, "--prefetch-at"),
        ({"publish_at": "soon"}, "not a duration"),
        ({"prefetch_at": "110%"}, "between"),
        ({"number": -1}, "u32"),
        ({"number": 1 << 32}, "u32"),
    ],
    ids=str,
)
def test_bad_channels(changes: dict[str, object], says: str) -> None:
    """What they do not, each in one line that says what would do."""
    with pytest.raises(UsageError, match=says) as raised:
        channel_spec(channel(**changes))
    assert "\n" not in str(raised.value)


@given(
    st.builds(
        ChannelData,
        name=st.just("news") | st.text(max_size=20),
        group=st.sampled_from(["239.1.2.3", "ff3e::1", "232.1.1.1"]) | st.text(max_size=20),
        port=st.just(5004) | st.integers(),
        number=st.just(1) | st.integers(),
        source=st.none() | st.just("10.0.0.1") | st.text(max_size=20),
        suite=st.sampled_from(Suite) | st.text(max_size=12),
        keys=st.sampled_from(KeyMaker) | st.text(max_size=12),
        lifetime_ms=st.just(5_000) | st.integers(),
        publish_at=st.just("50%") | st.text(max_size=12),
        prefetch_at=st.just("1s") | st.text(max_size=12),
    )
)
def test_any_channel_is_taken_or_refused(data: ChannelData) -> None:
    """Whatever a message says, only UsageError comes out."""
    with contextlib.suppress(UsageError):
        assert channel_spec(data).name == "news"
