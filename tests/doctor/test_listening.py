"""Tests of doctor.listening: a packet socket sees membership messages and not the stream beside them."""

import asyncio
import select
import time

import pytest

from sealcast.core.errors import UsageError
from sealcast.doctor import listening
from sealcast.transport import linux
from sealcast.transport.interfaces import Interface, choose_interface
from sealcast.transport.multicast import open_receiver, open_sender
from transport.namespaces import Namespace

pytestmark = pytest.mark.network

GROUP = "239.1.2.3"
PATIENCE_S = 10.0


def is_membership(packet: bytes) -> bool:
    """Whether a packet is IGMP, or IPv6 with hop-by-hop options, as MLD has it."""
    return packet[9] == 2 if packet[0] >> 4 == 4 else packet[6] == 0


@pytest.fixture
def interface(namespace: Namespace) -> Interface:
    """Return one end of a cable."""
    namespace.add_pair("a0", "b0", "10.9.0.1/24", "fd09::1/64")
    return choose_interface(GROUP).interface


def test_only_membership_messages_are_seen(interface: Interface) -> None:
    """A join is seen, in both versions of IP; a thousand packets of a stream are not."""
    families: set[int] = set()
    with listening._open(interface) as sock, open_sender(GROUP, 5004, interface) as sender:
        sender.send_batch([b"stream"] * 1_000)
        with open_receiver(GROUP, 0, interface), open_receiver("ff15::1", 0, interface):
            ends = time.monotonic() + PATIENCE_S
            while families != {4, 6} and (left := ends - time.monotonic()) > 0:
                if select.select([sock], [], [], left)[0]:
                    packet = sock.recv(2_048)
                    assert is_membership(packet)
                    families.add(packet[0] >> 4)
    assert families == {4, 6}


def test_a_join_is_no_query(interface: Interface) -> None:
    """Where nobody asks, our own reports of the scratch groups are not taken for queries."""
    assert asyncio.run(listening.hear_queries(interface, 0.5, 4)) == []


def test_a_system_without_packet_sockets_says_so(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In portable mode there is no listening, and the reason is one line."""
    monkeypatch.setenv(linux.MODE_VARIABLE, linux.PORTABLE)
    with pytest.raises(UsageError, match="no packet sockets"):
        asyncio.run(listening.hear_queries(interface, 0.5, 4))
