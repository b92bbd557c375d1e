"""Tests of transport.multicast in networks of their own: IPv6, loop and interfaces that fail."""

import socket
import struct

import pytest

from sealcast.core.errors import UnreachableError, UsageError
from sealcast.transport import linux
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver, open_sender
from transport.gathering import gather, wait_until_delivered
from transport.namespaces import LOOPBACK_GROUPS_ROUTE, Namespace

pytestmark = pytest.mark.network

PORT = 5004
GROUP = "239.255.0.1"


@pytest.fixture(params=["as the system is", "portable"], autouse=True)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in the mode of the environment and in portable mode."""
    if request.param == "portable":
        monkeypatch.setenv(linux.MODE_VARIABLE, linux.PORTABLE)


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("group", ["ff15::1", "ff12::1", "ff02::1234"])
def test_ipv6_any_source(group: str) -> None:
    """IPv6 groups of site, link and permanent link scope carry a stream until the receiver leaves."""
    loopback = choose_interface(group, "::1").interface
    with (
        open_receiver(group, PORT, loopback) as one,
        open_receiver(group, PORT, loopback) as two,
        open_receiver("ff15::2", PORT, loopback) as neighbour,
        open_sender(group, PORT, loopback) as sender,
    ):
        assert sender.send_batch([b"a", b"b"]) == 2
        assert gather(one, 2) == gather(two, 2) == [b"a", b"b"]
        one.leave()
        two.leave()
        sender.send_batch([b"after"])
        wait_until_delivered(choose_interface(GROUP, "lo").interface, PORT)
        assert one.receive_batch(10) == neighbour.receive_batch(10) == []


@pytest.mark.parametrize("group", ["ff3e::8000:1", "ff35::8000:1"])
def test_ipv6_source_specific(group: str, namespace: Namespace) -> None:
    """Only the named source is heard; where the system cannot do that, it is refused with a reason."""
    namespace.ip("address add fd00::5/128 dev lo nodad")
    loopback = choose_interface(group, "lo").interface
    if linux.is_portable():
        with pytest.raises(UsageError, match=r"lacks the source-specific API for IPv6 \(RFC 3678"):
            open_receiver(group, PORT, loopback, "::1")
        return
    with (
        open_receiver(group, PORT, loopback, "::1") as receiver,
        open_sender(group, PORT, loopback, source="fd00::5") as stranger,
        open_sender(group, PORT, loopback, source="::1") as sender,
    ):
        stranger.send_batch([b"forged"])
        sender.send_batch([b"true"])
        assert gather(receiver, 1) == [b"true"]
        wait_until_delivered(choose_interface(GROUP, "lo").interface, PORT)
        assert receiver.receive_batch(10) == []
        receiver.leave()
        sender.send_batch([b"after"])
        wait_until_delivered(choose_interface(GROUP, "lo").interface, PORT)
        assert receiver.receive_batch(10) == []


@pytest.mark.usefixtures("namespace")
def test_ipv6_hop_limit_travels_in_the_packet() -> None:
    """A receiver reads the hop limit that the sender was opened with."""
    loopback = choose_interface("ff15::1", "lo").interface
    with (
        open_receiver("ff15::1", PORT, loopback) as receiver,
        open_sender("ff15::1", PORT, loopback, 17) as sender,
    ):
        receiver._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        receiver._socket.settimeout(10)
        sender.send_batch([b"x"])
        _, [(_, _, data)], _, _ = receiver._socket.recvmsg(10, 64)
        assert struct.unpack("@i", data)[0] == 17


def test_loopback_without_a_route_for_groups(namespace: Namespace) -> None:
    """Linux gives loopback no IPv6 multicast route; the refusal names the command that adds one."""
    namespace.ip(LOOPBACK_GROUPS_ROUTE.replace("add", "delete"))
    loopback = choose_interface("ff15::1", "lo").interface
    with pytest.raises(UsageError, match="ip -6 route add local ff00::/8 dev lo table local"):
        open_sender("ff15::1", PORT, loopback)


@pytest.mark.parametrize("group", [GROUP, "ff15::1"])
def test_streams_cross_a_link_and_loop_only_if_told(group: str, namespace: Namespace) -> None:
    """The far end of a link hears the sender; receivers on the sender's own interface only with `loop`."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24", "fd09::1/64")
    namespace.ip("address add fd09::2/64 dev b0 nodad", "address add 10.9.0.2/24 dev b0")
    near, far = (choose_interface(group, name).interface for name in ("a0", "b0"))
    with (
        open_receiver(group, PORT, near) as home,
        open_receiver(group, PORT + 1, near) as own,
        open_sender(group, PORT, near, loop=False) as silent,
        open_sender(group, PORT + 1, near, loop=True) as looping,
    ):
        silent.send_batch([b"silent"])
        looping.send_batch([b"looped"])
        assert gather(own, 1) == [b"looped"]
        assert home.receive_batch(10) == []
    # The far end is the same host here, which drops packets from its own addresses as forged (IPv4).
    if ":" in group:
        with (
            open_receiver(group, PORT, far) as receiver,
            open_sender(group, PORT, near, loop=False) as sender,
        ):
            sender.send_batch([b"across"])
            assert gather(receiver, 1) == [b"across"]


def test_a_link_that_goes_down_while_sending(namespace: Namespace) -> None:
    """Losing the interface raises UnreachableError with one line that names it."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24", "fd09::1/64")
    for group in (GROUP, "ff15::1"):
        with open_sender(group, PORT, choose_interface(group, "a0").interface) as sender:
            assert sender.send_batch([b"x"]) == 1
            namespace.ip("link set a0 down")
            with pytest.raises(UnreachableError, match=r"on a0: .*is the interface up"):
                sender.send_batch([b"x"])
            namespace.ip("link set a0 up", "address replace fd09::1/64 dev a0 nodad")


def test_an_interface_without_an_ipv4_address(namespace: Namespace) -> None:
    """Any-source joins need no address; a source-specific one does where only the older API is there."""
    namespace.add_pair("a0", "b0")
    bare = choose_interface(GROUP, "a0").interface
    open_receiver(GROUP, PORT, bare).close()
    if linux.is_portable():
        with pytest.raises(UsageError, match="a0 has no IPv4 address"):
            open_receiver("232.1.2.3", PORT, bare, "192.0.2.1")
    else:
        open_receiver("232.1.2.3", PORT, bare, "192.0.2.1").close()
