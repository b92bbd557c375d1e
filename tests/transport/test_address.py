"""Tests of transport.address: what users may type, and what they hear when it is wrong."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import UsageError
from sealcast.transport.address import (
    Endpoint,
    Scheme,
    format_place,
    is_source_specific,
    parse_endpoint,
    parse_group,
)

GOOD = [
    ("239.1.2.3:5004", Endpoint("239.1.2.3", 5004)),
    ("[ff15::1]:5004", Endpoint("ff15::1", 5004)),
    ("[FF15:0::0:1]:5004", Endpoint("ff15::1", 5004)),
    ("udp://239.1.2.3:5004", Endpoint("239.1.2.3", 5004)),
    ("udp://@239.1.2.3:5004", Endpoint("239.1.2.3", 5004)),
    ("RTP://239.1.2.3:5004", Endpoint("239.1.2.3", 5004, None, Scheme.RTP)),
    ("rtp://192.0.2.1@232.1.2.3:5004", Endpoint("232.1.2.3", 5004, "192.0.2.1", Scheme.RTP)),
    ("192.0.2.1@232.1.2.3:5004", Endpoint("232.1.2.3", 5004, "192.0.2.1")),
    ("rtp://fd00::1@[ff3e::1]:5004", Endpoint("ff3e::1", 5004, "fd00::1", Scheme.RTP)),
    ("rtp://[fd00::1]@[ff3e::1]:5004", Endpoint("ff3e::1", 5004, "fd00::1", Scheme.RTP)),
    ("udp://Localhost:1", Endpoint("localhost", 1)),
    ("udp://encoder-7.example.org:65535", Endpoint("encoder-7.example.org", 65535)),
    ("udp://0.0.0.0:5004", Endpoint("0.0.0.0", 5004)),  # noqa: S104 — text, nothing is bound
    ("[::]:5004", Endpoint("::", 5004)),
]

BAD = [
    ("", "no port"),
    ("239.1.2.3", "no port"),
    ("239.1.2.3:", "no port"),
    (":5004", "no port"),
    ("239.1.2.3:five", "no port"),
    ("239.1.2.3:5004/", "no port"),
    ("udp://239.1.2.3:5004?pkt_size=1316", "no port"),
    ("239.1.2.3:²", "no port"),
    ("239.1.2.3:0", "port 0"),
    ("239.1.2.3:65536", "port 65536"),
    ("239.1.2.3:" + "9" * 5000, "port 9999"),
    ("239.1.2:5004", "neither an address nor a host name"),
    ("239.1.2.300:5004", "neither an address nor a host name"),
    ("a b:5004", "neither an address nor a host name"),
    ("ff15::1:5004", "in brackets"),
    ("[239.1.2.3]:5004", "not an IPv6 address"),
    ("[ff12::1%eth0]:5004", "not an IPv6 address"),
    ("http://239.1.2.3:5004", "unknown scheme 'http'"),
    ("192.0.2.1@192.0.2.2:5004", "only a multicast group takes a source"),
    ("192.0.2.1@host:5004", "only a multicast group takes a source"),
    ("fd00::1@232.1.2.3:5004", "IPv4 address of a host"),
    ("192.0.2.1@[ff3e::1]:5004", "IPv6 address of a host"),
    ("239.9.9.9@232.1.2.3:5004", "IPv4 address of a host"),
    ("host@232.1.2.3:5004", "IPv4 address of a host"),
]

PORTS = st.integers(1, 65_535)
GROUPS = st.one_of(
    st.ip_addresses(network="224.0.0.0/4").map(str), st.ip_addresses(network="ff00::/8").map(str)
)


@pytest.mark.parametrize(("text", "endpoint"), GOOD)
def test_reads_what_users_type(text: str, endpoint: Endpoint) -> None:
    """Each form is understood, and its printed form means the same."""
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_says_what_is_wrong(text: str, reason: str) -> None:
    """Each mistake gets one line that names it, with exit status 2."""
    with pytest.raises(UsageError) as caught:
        parse_endpoint(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


@given(group=GROUPS, port=PORTS, scheme=st.sampled_from(Scheme), with_source=st.booleans())
def test_printed_groups_are_read_back(group: str, port: int, scheme: Scheme, *, with_source: bool) -> None:
    """Printing and reading are inverse for every group, port, scheme and source."""
    source = ("fd00::1" if ":" in group else "192.0.2.1") if with_source else None
    endpoint = Endpoint(group, port, source, scheme)
    assert parse_group(str(endpoint)) == endpoint
    assert parse_group(format_place(group, port)) == Endpoint(group, port)


@given(st.text(max_size=60) | st.from_regex(r"(udp://)?[\[\]0-9a-f:.@%]{0,40}:[0-9]{1,6}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text whatever ends in another error than UsageError."""
    try:
        endpoint = parse_endpoint(text)
    except UsageError:
        return
    assert parse_endpoint(str(endpoint)) == endpoint


def test_a_group_must_be_multicast() -> None:
    """A host's address or name is refused where a group is asked for."""
    for text in ("192.0.2.1:5004", "[fd00::1]:5004", "localhost:5004"):
        with pytest.raises(UsageError, match="not a multicast group"):
            parse_group(text)


@given(st.ip_addresses())
def test_source_specific_ranges(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """232/8 and ff3x::/32 are source-specific, and nothing else is."""
    text = address.exploded
    expected = text.startswith("232.") or (text.startswith("ff3") and text[4:10] == ":0000:")
    assert is_source_specific(str(address)) == expected
    assert is_source_specific("232.0.0.1")
    assert is_source_specific("ff35::8000:1")
    assert not is_source_specific("localhost")
