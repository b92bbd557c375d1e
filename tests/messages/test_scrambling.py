"""What a channel may say of scrambling, and of streams that carry no key ID."""

import pytest

from sealcast.core.channel import Framing, Suite
from sealcast.core.errors import UsageError
from sealcast.core.scrambling import PatternPolicy
from sealcast.messages.channels import ChannelData, channel_data, channel_spec
from sealcast.messages.scrambling import check_scrambling, default_policy
from sealcast.transport.address import parse_endpoint


def check(patterns: str, suite: Suite = Suite.SCRAMBLE, framing: str = "keyed", **more: object) -> object:
    """Return what the check makes of these."""
    ask, secret = more.get("ask"), bool(more.get("is_confidential"))
    return check_scrambling(
        patterns, suite, Framing(framing), ask=str(ask) if ask else None, is_confidential=secret
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [("news", "single;32;60000ms"), ("film", "single;128;10000ms"), ("data", "single;512;1000ms")],
)
def test_defaults_by_content(content: str, text: str) -> None:
    """Each kind of content has bits and a time of its own, with any rule, and the check takes them."""
    assert default_policy(content, "single") == PatternPolicy.parse(text) == check(text)
    inverted = default_policy(content, "inverted")
    assert inverted.rule == "inverted"
    assert check(str(inverted), framing="udp", ask="192.0.2.1:5006") == inverted


def test_another_kind_of_content_is_refused() -> None:
    """The message names the kinds that there are."""
    with pytest.raises(UsageError, match="news, film, data"):
        default_policy("cartoon", "single")


def test_a_scrambled_channel_that_says_no_more_has_a_films_patterns() -> None:
    """The suite alone is enough, and the channel travels with the policy written out."""
    data = ChannelData(name="news", group="239.1.2.3", port=5004, suite="scramble")
    spec = channel_spec(data)
    assert spec.patterns == default_policy("film")
    assert channel_spec(channel_data(spec)) == spec


@pytest.mark.parametrize(
    ("ask", "is_good"),
    [
        ("sender.example:5006", True),
        ("localhost:1", True),
        ("192.0.2.1:65535", True),
        ("[2001:db8::1]:5006", True),
        ("2001:db8::1:5006", False),
        ("[192.0.2.1]:5006", False),
        ("192.0.2.300:5006", False),
        ("239.1.2.3:5006", False),
        ("[ff15::1]:5006", False),
        ("0.0.0.0:5006", False),
        ("[::]:5006", False),
        ("udp://192.0.2.1:5006", False),
        ("me@sender:5006", False),
        ("a b:5006", False),
        (":5006", False),
        ("sender:0", False),
        ("sender:65536", False),
        ("sender:5 006", False),
    ],
)
def test_an_endpoint_is_one_hosts(ask: str, is_good: bool) -> None:  # noqa: FBT001 - by pytest
    """What is taken is what `send` listens at and receivers ask; else the message says how to write it."""
    if is_good:
        check("", Suite.AES_128_GCM, "rtp", ask=ask)
        endpoint = parse_endpoint(ask)
        assert ask.endswith(f":{endpoint.port}")
        return
    with pytest.raises(UsageError, match="HOST:PORT"):
        check("", Suite.AES_128_GCM, "rtp", ask=ask)


@pytest.mark.parametrize(
    ("patterns", "more", "says"),
    [
        ("single;128;10ms", {"suite": Suite.AES_128_GCM}, "patterns are for the suite scramble"),
        ("", {"is_confidential": True}, "a confidential channel takes aes-128-gcm"),
        ("single;128", {}, "not a policy"),
        ("alternating;128;1p", {}, "source a"),
        ("c,d;128;1p", {}, "source a"),
        ("what;128;1p", {}, "give a name"),
        ("single;3;1p", {}, "4 to 4096 bits"),
        ("single;4097;1p", {}, "4 to 4096 bits"),
        ("single;128;99ms", {}, "100 ms"),
        ("single;128;1000ms", {"framing": "udp"}, "--ask"),
        ("single;128;1000ms", {"framing": "udp", "ask": "host"}, "HOST:PORT"),
        ("single;128;1000ms", {"framing": "udp", "ask": "host:70000"}, "HOST:PORT"),
        ("", {"framing": "udp", "ask": "host:7", "suite": Suite.AES_128_GCM}, "no place for a tag"),
        ("single;128;1000p", {"framing": "rtp", "ask": "host:7"}, "by time alone"),
        ("single;128;1000B,1000ms", {"framing": "udp", "ask": "host:7"}, "by time alone"),
        ("a@13;128;1000ms", {"framing": "udp", "ask": "host:7"}, "sequence numbers"),
    ],
)
def test_what_does_not_go_together_is_refused(patterns: str, more: dict[str, object], says: str) -> None:
    """Each message names what would do."""
    with pytest.raises(UsageError, match=says):
        check(patterns, **more)  # type: ignore[arg-type]
