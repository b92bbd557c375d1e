"""Tests of transport.linux: the probes answer as the kernel does, and "not there" in portable mode."""

import socket
import struct
import sys

import pytest

from sealcast.transport import linux

FAMILIES = (socket.AF_INET, socket.AF_INET6)


@pytest.mark.usefixtures("portable")
@pytest.mark.parametrize("family", FAMILIES)
def test_portable_mode_has_nothing(family: socket.AddressFamily) -> None:
    """With SEALCAST_TRANSPORT=portable every probe answers that its option is not there."""
    assert linux.is_portable()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        assert not linux.has_group_requests(sock)
        assert not linux.refuse_foreign_groups(sock)
        assert not linux.force_receive_buffer(sock, 65_536)
        assert not linux.attach_drops(sock)
        assert linux.read_drops(sock) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the options are Linux's own")
@pytest.mark.parametrize("family", FAMILIES)
def test_linux_has_the_options(family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux each number is understood by the kernel."""
    monkeypatch.delenv(linux.MODE_VARIABLE, raising=False)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        assert linux.has_group_requests(sock)
        assert linux.refuse_foreign_groups(sock)
        assert linux.attach_drops(sock)
        assert linux.read_drops(sock) == 0


def test_a_number_that_the_kernel_does_not_know_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes tell a missing option from one that failed for its arguments."""
    for name in ("MCAST_LEAVE_GROUP", "IP_MULTICAST_ALL", "SO_RXQ_OVFL", "SO_MEMINFO"):
        monkeypatch.setattr(linux, name, 4_242)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert not linux.has_group_requests(sock)
        assert not linux.refuse_foreign_groups(sock)
        assert not linux.attach_drops(sock)
        assert linux.read_drops(sock) is None


def test_layouts_have_the_sizes_of_the_c_structures() -> None:
    """The packed requests are as long as the C compiler makes them."""
    pointer_bytes = struct.calcsize("P")
    assert len(linux.pack_group_request(1, "239.1.2.3")) == pointer_bytes + 128
    assert len(linux.pack_group_source_request(1, "ff3e::1", "::1")) == pointer_bytes + 256
    assert len(linux.pack_mreqn("239.1.2.3", "127.0.0.1", 1)) == 12
    assert len(linux.pack_mreq_source("232.1.2.3", "127.0.0.1", "127.0.0.1")) == 12
    assert len(linux.pack_ipv6_mreq("ff15::1", 1)) == 20
    assert len(linux.pack_address("239.1.2.3")) == 16
    assert len(linux.pack_address("ff15::1")) == 28
