"""Tests of transport.multicast on IPv4 loopback: who hears what, and what is counted."""

import dataclasses
import socket
import struct
from pathlib import Path

import pytest

from sealcast.core.errors import UnreachableError, UsageError
from sealcast.transport import linux
from sealcast.transport.interfaces import Interface
from sealcast.transport.multicast import open_receiver, open_sender
from transport.gathering import gather, wait_until_delivered

GROUP = "239.255.0.1"
OTHER_GROUP = "239.255.0.2"
SSM_GROUP = "232.255.0.1"
IP_RECVTTL = 12


@pytest.fixture(params=["as the system is", "portable"], autouse=True)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in the mode of the environment and in portable mode."""
    if request.param == "portable":
        monkeypatch.setenv(linux.MODE_VARIABLE, linux.PORTABLE)


def test_any_source_group_carries_a_batch(loopback: Interface, free_port: int) -> None:
    """A batch sent to a group arrives whole and in order, in portions of at most the limit."""
    batch = [bytes([number]) * 1_352 for number in range(50)]
    with (
        open_receiver(GROUP, free_port, loopback) as receiver,
        open_sender(GROUP, free_port, loopback) as sender,
    ):
        assert sender.local_address[0] == "127.0.0.1"
        assert sender.send_batch(batch) == 50
        first = gather(receiver, 20)
        assert len(first) == 20
        assert first + gather(receiver, 30) == batch
        assert receiver.receive_batch(1) == []
        assert receiver.drops() == (None if linux.is_portable() else 0)


def test_source_specific_group_carries_only_its_source(loopback: Interface, free_port: int) -> None:
    """Of two senders to a source-specific group only the one named is heard."""
    two = dataclasses.replace(loopback, ipv4=("127.0.0.1", "127.0.0.2"))
    with (
        open_receiver(SSM_GROUP, free_port, loopback, "127.0.0.1") as receiver,
        open_sender(SSM_GROUP, free_port, two, source="127.0.0.2") as stranger,
        open_sender(SSM_GROUP, free_port, two, source="127.0.0.1") as sender,
    ):
        stranger.send_batch([b"forged"])
        sender.send_batch([b"true"])
        assert gather(receiver, 1) == [b"true"]
        wait_until_delivered(loopback, free_port)
        assert receiver.receive_batch(10) == []


def test_two_receivers_share_one_port(loopback: Interface, free_port: int) -> None:
    """Each of several receivers on a host gets every datagram."""
    with (
        open_receiver(GROUP, free_port, loopback) as one,
        open_receiver(GROUP, free_port, loopback) as two,
        open_sender(GROUP, free_port, loopback) as sender,
    ):
        sender.send_batch([b"a", b"b"])
        assert gather(one, 2) == gather(two, 2) == [b"a", b"b"]


def test_another_group_on_the_same_port_stays_out(loopback: Interface, free_port: int) -> None:
    """A group that another program joined on the same port is not heard."""
    with (
        open_receiver(GROUP, free_port, loopback) as receiver,
        open_receiver(OTHER_GROUP, free_port, loopback) as neighbour,
        open_sender(OTHER_GROUP, free_port, loopback) as sender,
    ):
        sender.send_batch([b"not ours"])
        assert gather(neighbour, 1) == [b"not ours"]
        assert receiver.receive_batch(10) == []


@pytest.mark.parametrize(("group", "source"), [(GROUP, None), (SSM_GROUP, "127.0.0.1")])
def test_leaving_stops_the_stream(
    group: str, source: str | None, loopback: Interface, free_port: int
) -> None:
    """After leaving nothing more arrives, and the host no longer reports the group."""
    with (
        open_receiver(group, free_port, loopback, source) as receiver,
        open_sender(group, free_port, loopback) as sender,
    ):
        sender.send_batch([b"before"])
        assert gather(receiver, 1) == [b"before"]
        assert _is_joined(group)
        receiver.leave()
        receiver.leave()
        assert not _is_joined(group)
        sender.send_batch([b"after"])
        wait_until_delivered(loopback, free_port)
        assert receiver.receive_batch(10) == []


def test_leaving_while_another_program_stays(loopback: Interface, free_port: int) -> None:
    """With IP_MULTICAST_ALL off, a receiver that left hears nothing although its neighbour still does."""
    with (
        open_receiver(GROUP, free_port, loopback) as leaver,
        open_receiver(GROUP, free_port, loopback) as stayer,
        open_sender(GROUP, free_port, loopback) as sender,
    ):
        leaver.leave()
        sender.send_batch([b"after"])
        assert gather(stayer, 1) == [b"after"]
        assert leaver.receive_batch(10) == ([b"after"] if linux.is_portable() else [])


def test_closing_leaves(loopback: Interface, free_port: int) -> None:
    """A closed receiver has left its group, gives nothing and may be closed and left again."""
    receiver = open_receiver(GROUP, free_port, loopback)
    assert receiver.fileno() >= 0
    assert _is_joined(GROUP)
    receiver.close()
    receiver.close()
    receiver.leave()
    assert not _is_joined(GROUP)
    assert receiver.fileno() == -1
    assert receiver.receive_batch(10) == []


@pytest.mark.parametrize("counted_by", ["asking", "being told"])
def test_drops_are_counted(
    counted_by: str, loopback: Interface, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a slow program overruns the buffer, received and dropped datagrams add up to those sent."""
    if counted_by == "being told":
        monkeypatch.setattr(linux, "read_drops", lambda _: None)
    with (
        open_receiver(GROUP, free_port, loopback, receive_buffer_bytes=20_000) as receiver,
        open_sender(GROUP, free_port, loopback) as sender,
    ):
        sender.send_batch([bytes(1_352)] * 500)
        wait_until_delivered(loopback, free_port)
        received = len(receiver.receive_batch(1_000))
        assert 0 < received < 500
        sender.send_batch([b"after the gap"])
        assert gather(receiver, 1) == [b"after the gap"]
        assert receiver.drops() == (None if linux.is_portable() else 500 - received)
    assert receiver.drops() == (None if linux.is_portable() else 500 - received)


def test_the_count_of_drops_goes_on_where_the_kernels_wraps(loopback: Interface, free_port: int) -> None:
    """The kernel's 32-bit count starts again at 0; ours does not."""
    with open_receiver(GROUP, free_port, loopback) as receiver:
        receiver._dropped = 0
        for count in (0xFFFFFFFF, 4):
            receiver._note_count(count)
        assert receiver._dropped == 0xFFFFFFFF + 5


def test_the_granted_buffer_is_read_back(loopback: Interface, free_port: int) -> None:
    """What the kernel granted is known, and advice is given exactly if it is less than asked."""
    limit_bytes = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    with open_receiver(GROUP, free_port, loopback, receive_buffer_bytes=limit_bytes) as receiver:
        assert receiver.receive_buffer_bytes == limit_bytes
        assert receiver.buffer_advice() is None
    with open_receiver(GROUP, free_port, loopback, receive_buffer_bytes=limit_bytes * 2) as receiver:
        advice = receiver.buffer_advice()
        if receiver.receive_buffer_bytes == limit_bytes:
            assert advice is not None
            assert f"net.core.rmem_max={limit_bytes * 2}" in advice
        else:
            assert advice is None


@pytest.mark.parametrize("ttl", [1, 17])
def test_ttl_travels_in_the_packet(ttl: int, loopback: Interface, free_port: int) -> None:
    """A receiver reads the TTL that the sender was opened with."""
    with (
        open_receiver(GROUP, free_port, loopback) as receiver,
        open_sender(GROUP, free_port, loopback, ttl) as sender,
    ):
        receiver._socket.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        receiver._socket.setblocking(True)
        receiver._socket.settimeout(10)
        sender.send_batch([b"x"])
        _, [(_, _, data)], _, _ = receiver._socket.recvmsg(10, 64)
        assert struct.unpack("@i", data)[0] == ttl


def test_a_port_held_by_another_program_is_one_clear_line(loopback: Interface, free_port: int) -> None:
    """A program that does not share its port makes joining fail with a line that says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", free_port))
        with pytest.raises(
            UsageError, match=f"{GROUP}:{free_port} on lo: the port is in use by another program"
        ):
            open_receiver(GROUP, free_port, loopback)


def test_unusable_arguments_are_one_clear_line(loopback: Interface, free_port: int) -> None:
    """What cannot work is refused before or by the kernel, each with its own reason."""
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not a multicast group"):
        open_receiver("192.0.2.1", free_port, loopback)
    with pytest.raises(UsageError, match="is source-specific: say who sends, as SOURCE@232"):
        open_receiver(SSM_GROUP, free_port, loopback)
    with pytest.raises(UsageError, match="not of the same version of IP"):
        open_receiver(SSM_GROUP, free_port, loopback, "fd00::1")
    with pytest.raises(UsageError, match="a TTL lies between 0 and 255, not 256"):
        open_sender(GROUP, free_port, loopback, 256)
    with pytest.raises(UsageError, match=r"lo has no address 198\.51\.100\.7; it has 127\.0\.0\.1"):
        open_sender(GROUP, free_port, loopback, source="198.51.100.7")


def test_an_interface_that_vanished_is_one_clear_line(free_port: int) -> None:
    """Joining or sending on an interface that is gone says that there is none."""
    gone = Interface("gone0", 999_999, ipv4=("127.0.0.1",))
    for opener in (open_receiver, open_sender):
        with pytest.raises((UsageError, UnreachableError), match="on gone0: ") as caught:
            opener(GROUP, free_port, gone)
        assert "\n" not in str(caught.value)


def _is_joined(group: str) -> bool:
    """Whether the kernel lists `group`, in the byte order it lists it in, as joined on any interface."""
    listed = struct.unpack("=I", socket.inet_aton(group))[0]
    return f"{listed:08X}" in Path("/proc/self/net/igmp").read_text(encoding="ascii")
