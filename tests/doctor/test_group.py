"""Tests of doctor.group: addresses, queriers, bridges and what was heard, each with its remedy."""

import pytest

from probe.streams import clear, sealed
from sealcast.doctor import group
from sealcast.doctor.finding import Result
from sealcast.doctor.group import Bridge
from sealcast.doctor.queries import Query
from sealcast.probe.session import ProbeSession
from sealcast.transport.address import Endpoint, parse_group

V3 = Query(4, 3, "10.0.0.1", None)
V2 = Query(4, 2, "10.0.0.1", "239.255.255.253")
MLD = Query(6, 2, "fe80::1", None)


@pytest.mark.parametrize(
    ("place", "result", "words"),
    [
        ("239.255.1.1:5004", Result.OK, "suits"),
        ("10.0.0.9@232.1.1.1:5004", Result.OK, "suits"),
        ("[ff15::1]:5004", Result.OK, "suits"),
        ("239.255.1.1:5005", Result.FAIL, "odd"),
        ("224.0.0.9:5004", Result.FAIL, "local control"),
        ("239.0.0.5:5004", Result.WARN, "MAC address"),
        ("238.128.0.5:5004", Result.WARN, "MAC address"),
        ("233.5.5.5:5004", Result.WARN, "whole Internet"),
        ("[ff11::1]:5004", Result.FAIL, "never leaves"),
        ("[ff12::1]:5004", Result.WARN, "link scope"),
    ],
)
def test_addresses(place: str, result: Result, words: str) -> None:
    """Groups that routers or switches treat in their own way are told."""
    finding = group.check_address(parse_group(place))
    assert (finding.result, words in finding.detail) == (result, True)


def test_a_source_specific_group_needs_its_source() -> None:
    """232/8 without a sender's address cannot be joined."""
    finding = group.check_address(Endpoint("232.1.1.1", 5004))
    assert (finding.result, finding.advice) == (Result.FAIL, "SOURCE@232.1.1.1:5004")


def querier(*queries: Query, family: int = 4, source_specific: bool = False) -> tuple[Result, str]:
    """Return result and detail over queries."""
    finding = group.check_querier(
        family, queries, interface="eth0", waited_s=3, source_specific=source_specific
    )
    return finding.result, finding.detail


def test_queriers() -> None:
    """A querier is told by version and address; none, or only one of the other family, is a warning."""
    assert querier(V3, V3) == (Result.OK, "IGMPv3 from 10.0.0.1 on eth0")
    assert querier(MLD, family=6) == (Result.OK, "MLDv2 from fe80::1 on eth0")
    result, detail = querier(MLD)
    assert result is Result.WARN
    assert "without a querier a snooping switch stops the stream after about 260 s" in detail
    assert querier(V2)[0] is Result.OK
    assert querier(V2, source_specific=True)[0] is Result.FAIL


def test_what_the_kernel_remembers() -> None:
    """A kernel that was put back to IGMPv2 cannot join source-specific groups."""
    assert group.check_old_querier("eth0", 3, source_specific=True) is None
    assert group.check_old_querier("eth0", None, source_specific=True) is None
    finding = group.check_old_querier("eth0", 2, source_specific=True)
    assert finding is not None
    assert finding.result is Result.FAIL
    finding = group.check_old_querier("eth0", 2, source_specific=False)
    assert finding is not None
    assert finding.result is Result.WARN


def test_bridges() -> None:
    """A bridge that snoops needs a querier, its own or another."""
    deaf = Bridge("br0", snoops=True, queries=False)
    assert group.check_bridges([Bridge("br1", snoops=False, queries=False)], has_querier=False) == []
    assert group.check_bridges([deaf], has_querier=True)[0].result is Result.OK
    [finding] = group.check_bridges([deaf], has_querier=False)
    assert finding.result is Result.WARN
    assert finding.advice == "ip link set dev br0 type bridge mcast_querier 1"


def stream(packets: list[bytes], channel: int | None = 7) -> tuple[Result, str]:
    """Return result and detail of what was heard."""
    session = ProbeSession()
    session.handle_data(packets, 0)
    report = session.report(target="239.1.2.3:5004", interface="eth0", listened_ns=3 * 10**9, now=0)
    finding = group.check_stream(report, channel)
    return finding.result, finding.detail


def test_streams() -> None:
    """Silence, packets in the clear and another channel's packets fail; loss warns."""
    assert stream([])[0] is Result.FAIL
    assert stream(sealed(100)) == (Result.OK, "100 packets of 239.1.2.3:5004 in 3.0 s, encrypted")
    assert stream(sealed(100), None)[0] is Result.OK
    assert stream(clear(100))[0] is Result.FAIL
    assert stream(sealed(50) + clear(1)) == (
        Result.FAIL,
        "239.1.2.3:5004: 1 of 51 packets are MPEG-TS in the clear, the others are not",
    )
    assert "packets of channel 7, not 8" in stream(sealed(100), 8)[1]
    silent = ProbeSession().report(target="239.1.2.3:5004", interface="eth0", listened_ns=0, now=0)
    assert group.check_stream(silent, 7, on_air=False).result is Result.WARN
    result, detail = stream(sealed(50) + sealed(50, first=160))
    assert (result, detail.endswith("10 lost")) == (Result.WARN, True)
