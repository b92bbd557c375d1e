"""Tests of transport.unicast: plain UDP between programs, through real sockets."""

import socket

import pytest

from sealcast.core.errors import UnreachableError, UsageError
from sealcast.transport.unicast import open_unicast_receiver, open_unicast_sender
from transport.gathering import gather
from transport.namespaces import Namespace


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_carries_a_batch(host: str) -> None:
    """A batch of bytes-like datagrams arrives whole and in order."""
    with open_unicast_receiver(host, 0) as receiver:
        with open_unicast_sender(receiver.local_address[0], receiver.local_address[1]) as sender:
            assert sender.send_batch([b"a", bytearray(b"bb"), memoryview(b"ccc"), b""]) == 4
            assert sender.refused == sender.stalls == 0
        assert gather(receiver, 4) == [b"a", b"bb", b"ccc", b""]
        assert receiver.receive_batch(10) == []


def test_the_longest_datagram_is_not_cut() -> None:
    """65,507 bytes arrive whole; one more is refused with a clear line."""
    longest = bytes(65_507)
    with (
        open_unicast_receiver("127.0.0.1", 0) as receiver,
        open_unicast_sender(*receiver.local_address) as sender,
    ):
        assert sender.send_batch([longest]) == 1
        assert gather(receiver, 1) == [longest]
        with pytest.raises(UsageError, match="too long"):
            sender.send_batch([longest + b"x"])


def test_nobody_listening_is_counted_not_raised(free_port: int) -> None:
    """A player that has not started yet costs its packets, which are counted, and not the stream."""
    with open_unicast_sender("127.0.0.1", free_port) as sender:
        for _ in range(10):
            assert sender.send_batch([b"x"] * 10) == 10
        assert 0 < sender.refused <= 100
        with open_unicast_receiver("127.0.0.1", free_port) as receiver:
            sender.send_batch([b"now"])
            assert gather(receiver, 1) == [b"now"]


def test_a_port_in_use_is_one_clear_line() -> None:
    """A second receiver of a unicast port is refused: the port is not shared."""
    with open_unicast_receiver("127.0.0.1", 0) as receiver:
        port = receiver.local_address[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}: the port is in use by another program"):
            open_unicast_receiver("127.0.0.1", port)


def test_a_foreign_address_is_one_clear_line() -> None:
    """Receiving on an address of another host is refused."""
    with pytest.raises(UsageError, match="this host has no such address"):
        open_unicast_receiver("198.51.100.7", 5004)


def test_a_group_is_not_a_host() -> None:
    """Sending to a group needs the multicast sender, which knows interface and TTL."""
    with pytest.raises(UsageError, match="is a multicast group"):
        open_unicast_sender("239.1.2.3", 5004)


@pytest.mark.network
@pytest.mark.usefixtures("namespace")
def test_unknown_names_and_missing_routes() -> None:
    """Without DNS a name is unknown; without a route a host is unreachable."""
    with pytest.raises(UsageError, match=r"no address is known for the host 'player\.invalid'"):
        open_unicast_sender("player.invalid", 5004)
    with pytest.raises(UnreachableError, match=r"192\.0\.2\.9:5004: network is unreachable"):
        open_unicast_sender("192.0.2.9", 5004)


@pytest.mark.network
def test_a_full_socket_hands_the_rest_back(namespace: Namespace) -> None:
    """While the link cannot take more, the unsent rest is returned after a bounded wait, and counted."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24")
    with open_unicast_sender("10.9.0.9", 5004) as sender:  # nobody answers for 10.9.0.9, so packets queue
        sender._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        done = sender.send_batch([bytes(1_000)] * 200)
        assert 0 < done < 200
        assert sender.stalls > 0


@pytest.mark.network
def test_a_link_that_goes_down_is_one_clear_line(namespace: Namespace) -> None:
    """Losing the network while sending raises UnreachableError, exit status 3."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24")
    with open_unicast_sender("10.9.0.9", 5004) as sender:
        assert sender.send_batch([b"x"]) == 1
        namespace.ip("link set a0 down")
        with pytest.raises(UnreachableError, match=r"cannot send to 10\.9\.0\.9:5004: network is"):
            sender.send_batch([b"x"] * 10)


@pytest.mark.network
def test_what_a_filter_throws_away_is_counted(namespace: Namespace) -> None:
    """Datagrams that this host's own rules prohibit are counted and do not stop the stream."""
    with open_unicast_sender("127.0.0.9", 5004) as sender:
        namespace.ip("route add prohibit 127.0.0.9/32 table local")
        assert sender.send_batch([b"x"] * 5) == 5
        assert sender.refused >= 5
