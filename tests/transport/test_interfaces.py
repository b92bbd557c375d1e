"""Tests of transport.interfaces: which interface is taken, and why, on real interfaces."""

import pytest

from sealcast.core.errors import UsageError
from sealcast.transport.interfaces import choose_interface, list_interfaces
from transport.namespaces import Namespace

GROUP = "239.1.2.3"


def test_loopback_is_listed() -> None:
    """The loopback interface of this host is described as the kernel has it."""
    [loopback] = [each for each in list_interfaces() if each.loopback]
    assert (loopback.name, loopback.index) == ("lo", 1)
    assert "127.0.0.1" in loopback.ipv4
    assert loopback.up
    assert loopback.addresses(GROUP) == loopback.ipv4
    assert loopback.addresses("ff15::1") == loopback.ipv6


def test_loopback_is_taken_when_asked_for() -> None:
    """By name or address loopback counts, although it does not announce multicast."""
    assert str(choose_interface(GROUP, "lo")) == "lo (asked for)"
    assert str(choose_interface(GROUP, "127.0.0.1")) == "lo (has address 127.0.0.1)"


def test_an_unknown_interface_is_one_clear_line() -> None:
    """A name or address that no interface has is refused with the names there are."""
    for wanted in ("nosuch0", "198.51.100.7", "", "127.0.0.1%lo"):
        with pytest.raises(UsageError, match=r"there is no interface .*--interface takes one of .*lo"):
            choose_interface(GROUP, wanted)


@pytest.mark.network
@pytest.mark.usefixtures("namespace")
def test_without_a_network_nothing_is_chosen() -> None:
    """Loopback alone is no reason to send there unasked."""
    for group in (GROUP, "ff15::1"):
        with pytest.raises(UsageError, match=r"no interface is up for multicast.*--interface \(lo\)"):
            choose_interface(group)
    assert choose_interface("ff15::1", "::1").interface.name == "lo"


@pytest.mark.network
def test_a_route_to_loopback_is_no_choice(namespace: Namespace) -> None:
    """Loopback counts only when asked for, whatever the routes say."""
    namespace.ip("route add 239.0.0.0/8 dev lo")
    with pytest.raises(UsageError, match="no interface is up"):
        choose_interface(GROUP)


@pytest.mark.network
def test_the_only_multicast_interface_is_chosen(namespace: Namespace) -> None:
    """With one interface that can, no route is needed; others down or without an address do not count."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24")
    namespace.add_pair("c0", "d0", "10.9.1.1/24")
    namespace.ip("link set c0 down")
    assert str(choose_interface(GROUP)) == "a0 (only multicast interface)"
    with pytest.raises(UsageError, match="interface c0 is down"):
        choose_interface(GROUP, "c0")


@pytest.mark.network
def test_the_route_decides_between_several(namespace: Namespace) -> None:
    """With two interfaces that can, the route to the group decides; without one, the user must."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24", "fd09::1/64")
    namespace.add_pair("c0", "d0", "10.9.1.1/24", "fd09:1::1/64")
    with pytest.raises(UsageError, match=r"several interfaces .*--interface \(a0, c0\)|\(c0, a0\)"):
        choose_interface(GROUP)
    namespace.ip("route add 239.0.0.0/8 dev c0")
    assert str(choose_interface(GROUP)) == f"c0 (route to {GROUP})"
    namespace.ip("route add default via 10.9.0.2")
    assert choose_interface(GROUP).interface.name == "c0"
    assert choose_interface("232.1.2.3").interface.name == "a0"
    namespace.ip("-6 route add multicast ff15::/16 dev c0 table local metric 1")
    assert str(choose_interface("ff15::1")) == "c0 (route to ff15::1)"


@pytest.mark.network
def test_the_user_overrides_the_route(namespace: Namespace) -> None:
    """By name, IPv4 or IPv6 address the user gets the interface asked for; an ambiguous one is refused."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24")
    namespace.add_pair("c0", "d0", "10.9.1.1/24", "fd09:1::1/64")
    namespace.ip("route add 239.0.0.0/8 dev a0")
    for wanted in ("c0", "10.9.1.1", "fd09:1::1", "FD09:1:0::1"):
        assert choose_interface(GROUP, wanted).interface.name == "c0"
    namespace.ip("address add 10.9.1.1/32 dev a0")
    with pytest.raises(UsageError, match=r"10\.9\.1\.1 is an address of .*give --interface the name"):
        choose_interface(GROUP, "10.9.1.1")
