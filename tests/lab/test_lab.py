"""The laboratory itself, with plain UDP: what the tests of the whole system take for granted."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import Host, Program, wait_until
from lab.topology import Family, Lab, routed_lab

pytestmark = pytest.mark.network

UDP = Path(__file__).with_name("udp.py")
SOURCE_SPECIFIC = {Family.IPV4: "232.1.2.3", Family.IPV6: "ff3e::4:2"}
ANY_SOURCE = {Family.IPV4: "239.1.2.3", Family.IPV6: "ff1e::4:2"}
ENOUGH_PACKETS = 30
QUIET_S = 0.5
"""At 100 packets per second, half a second without one is the end of a stream."""

MEMBERSHIP_S = 12.0
"""How long pimd goes on after the leave of an any-source group."""

SHORTEST_PATH_S = 7.0
"""pimd looks every 5 s whether to change to the shortest path."""

SLACK_S = 30.0
"""What a busy machine may add; a stream that never ends is found out all the same."""


@pytest.fixture(params=list(Family), ids=lambda family: family.name.lower())
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Build the laboratory, once with pimd and once with smcroute."""
    with routed_lab(request.param) as built:
        yield built


def _send(host: Host, group: str) -> None:
    host.start(sys.executable, UDP, "send", group)


def _join(host: Host, *group_and_source: str) -> Program:
    receiver = host.start(sys.executable, UDP, "receive", *group_and_source)
    wait_until(lambda: "joined" in receiver.stdout(), f"the join on {host.leg}")
    return receiver


def _leave(receiver: Program) -> int:
    """Return how many packets the receiver got until it left."""
    assert receiver.stop() == 0, receiver.stderr()
    return int(receiver.stdout().split()[-1])


def _wait_for_packets(lab: Lab, host: Host) -> None:
    goal = lab.carried(host) + ENOUGH_PACKETS
    wait_until(lambda: lab.carried(host) >= goal, f"packets on {host.leg}")


def _wait_for_silence(lab: Lab, host: Host) -> None:
    def silent() -> bool:
        before = lab.carried(host)
        time.sleep(QUIET_S)
        return lab.carried(host) == before

    wait_until(silent, f"the end of the stream on {host.leg}", MEMBERSHIP_S + SLACK_S)


def test_source_specific_joins_steer_the_stream(lab: Lab) -> None:
    """A leg carries the stream from its join to its leave, whatever the other leg does."""
    group, source = SOURCE_SPECIFIC[lab.family], lab.address(lab.sender)
    _send(lab.sender, group)
    first = _join(lab.leg_a, group, source)
    _wait_for_packets(lab, lab.leg_a)
    assert lab.carried(lab.leg_b) == 0

    second = _join(lab.leg_b, group, source)
    _wait_for_packets(lab, lab.leg_b)
    received = _leave(first)
    _wait_for_silence(lab, lab.leg_a)
    _wait_for_packets(lab, lab.leg_b)

    _leave(second)
    assert ENOUGH_PACKETS <= received <= lab.carried(lab.leg_a)
    assert lab.carried(lab.keys) == 0


def test_another_source_stays_out(lab: Lab) -> None:
    """Who joins a group from one source gets nothing that another one sends to it."""
    group = SOURCE_SPECIFIC[lab.family]
    _send(lab.keys, group)
    receiver = _join(lab.leg_a, group, lab.address(lab.sender))
    time.sleep(1)
    assert _leave(receiver) == 0


def test_any_source_joins_steer_the_stream(lab: Lab) -> None:
    """A group joined without a source flows to the joined leg only, and stops after the leave."""
    group = ANY_SOURCE[lab.family]
    lab.wait_for_any_source()
    receiver = _join(lab.leg_a, group)
    time.sleep(0.5)
    _send(lab.sender, group)
    _wait_for_packets(lab, lab.leg_a)
    assert lab.carried(lab.leg_b) == 0
    # A leave in the middle of pimd's change to the shortest path can leave the leg open for minutes.
    time.sleep(SHORTEST_PATH_S)
    assert _leave(receiver) >= ENOUGH_PACKETS
    _wait_for_silence(lab, lab.leg_a)


def test_loss_is_about_what_was_asked(lab: Lab) -> None:
    """Of packets that reach a host's leg, the part that was asked for is dropped; others lose nothing."""
    group, source = SOURCE_SPECIFIC[lab.family], lab.address(lab.sender)
    lab.lose(lab.leg_a, 50)
    receivers = [_join(host, group, source) for host in (lab.leg_a, lab.leg_b)]
    _send(lab.sender, group)
    for _ in range(5):
        _wait_for_packets(lab, lab.leg_a)
    lossy, whole = map(_leave, receivers)
    assert 0.25 < lossy / whole < 0.75


def test_unicast_crosses_the_router(lab: Lab) -> None:
    """Every host reaches the key server's host in both families."""
    for host in (lab.sender, lab.leg_a, lab.leg_b):
        for address in (lab.keys.ipv4, lab.keys.ipv6):
            reach = (
                f"import socket; s = socket.socket(socket.{_family(address)}); s.connect(('{address}', 1))"
            )
            outcome = host.run("sh", "-c", f'{sys.executable} -c "{reach}" 2>&1 || true')
            assert "ConnectionRefusedError" in outcome


def _family(address: str) -> str:
    return "AF_INET6" if ":" in address else "AF_INET"
