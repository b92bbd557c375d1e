"""Tests of doctor.host: each result of the checks of the machine, with the command that mends it."""

import pytest

from sealcast.doctor import host
from sealcast.doctor.finding import Result
from sealcast.transport.batches import ADVISED_BUFFER_BYTES
from sealcast.transport.interfaces import Interface

ETH0 = Interface("eth0", 2, ("192.0.2.1",), (), multicast=True)
LO = Interface("lo", 1, ("127.0.0.1",), ("::1",), loopback=True)


def test_interfaces() -> None:
    """One that can is enough; loopback alone is a warning, none at all a failure."""
    finding = host.check_interfaces([LO, ETH0])
    assert (finding.result, finding.detail) == (Result.OK, "eth0 (192.0.2.1)")
    assert host.check_interfaces([LO]).result is Result.WARN
    assert host.check_interfaces([]).result is Result.FAIL


@pytest.mark.parametrize(
    ("rmem_max", "result"),
    [(ADVISED_BUFFER_BYTES, Result.OK), (212_992, Result.WARN), (None, Result.WARN)],
)
def test_receive_buffer(rmem_max: int | None, result: Result) -> None:
    """A limit below what a receiver asks for is told with the exact line that raises it."""
    finding = host.check_receive_buffer(rmem_max)
    assert finding.result is result
    if rmem_max == 212_992:
        assert finding.advice == f"sysctl -w net.core.rmem_max={ADVISED_BUFFER_BYTES}"


def test_send_buffer() -> None:
    """Linux's default suffices; less is told with the line that raises it."""
    assert host.check_send_buffer(212_992).result is Result.OK
    assert host.check_send_buffer(4_096).advice == "sysctl -w net.core.wmem_max=212992"
    assert host.check_send_buffer(None).result is Result.WARN


def test_offload() -> None:
    """What is missing is named."""
    assert host.check_offload(segments=True, coalesces=True).result is Result.OK
    assert "no UDP GSO and GRO" in host.check_offload(segments=False, coalesces=False).detail
    assert "no UDP GRO" in host.check_offload(segments=True, coalesces=False).detail


@pytest.mark.parametrize(
    ("everywhere", "here", "several", "result"),
    [
        (0, 0, True, Result.OK),
        (1, 0, True, Result.WARN),
        (0, 1, True, Result.WARN),
        (0, 1, False, Result.OK),
        (1, 2, True, Result.OK),
        (2, 1, True, Result.OK),
        (0, 7, True, Result.OK),
    ],
)
def test_reverse_path(everywhere: int, here: int, *, several: bool, result: Result) -> None:
    """The greater of the two values counts, and strict hurts only where there is another way out."""
    finding = host.check_reverse_path("eth0", everywhere, here, several=several)
    assert finding.result is result
    if result is Result.WARN:
        assert finding.advice == "sysctl -w net.ipv4.conf.eth0.rp_filter=2"


def test_joins() -> None:
    """A join that fails is a failure only for the version of IP that the channel has."""
    assert host.check_join("IPv6", None, needed=True).result is Result.OK
    assert host.check_join("IPv6", "no such device", needed=False).result is Result.OK
    assert host.check_join("IPv6", "no such device", needed=True).result is Result.FAIL
    assert host.check_ipv6_disabled("eth0").advice == "sysctl -w net.ipv6.conf.eth0.disable_ipv6=0"
