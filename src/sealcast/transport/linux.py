"""Owns every number and probe of the operating system for which Python 3.11 has no name.

Each probe answers "not there" where the kernel lacks the option, on another system than Linux, and when
the environment says `SEALCAST_TRANSPORT=portable`; its caller then takes the fallback that POSIX and
RFC 3678 leave. The probes are asked when a socket is opened, never per packet.

Numbers: include/uapi/linux/in.h and in6.h, and asm-generic/socket.h (x86, ARM, RISC-V, POWER).
"""

import ctypes
import errno
import functools
import os
import socket
import struct
import sys
from collections.abc import Sequence

from sealcast.core.ports import NS_PER_S

MODE_VARIABLE = "SEALCAST_TRANSPORT"
PORTABLE = "portable"

IP_ADD_SOURCE_MEMBERSHIP = 39
IP_DROP_SOURCE_MEMBERSHIP = 40
MCAST_JOIN_GROUP = 42
MCAST_LEAVE_GROUP = 45
MCAST_JOIN_SOURCE_GROUP = 46
MCAST_LEAVE_SOURCE_GROUP = 47
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29
SO_RCVBUFFORCE = 33
SO_RXQ_OVFL = 40
SO_MEMINFO = 55
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
SO_ATTACH_FILTER = 26
ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_ALLMULTI = 2
CLOCK_MONOTONIC = 1
TFD_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)

MEMINFO_WORDS = 9
"""SO_MEMINFO fills nine u32; the last (SK_MEMINFO_DROPS) counts the datagrams thrown away."""

_PROBE_GROUPS = {socket.AF_INET: "239.255.255.254", socket.AF_INET6: "ff15::fffe"}
_LEVELS = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}


def is_portable() -> bool:
    """Whether nothing that only Linux has may be used."""
    return sys.platform != "linux" or os.environ.get(MODE_VARIABLE) == PORTABLE


def has_group_requests(sock: socket.socket) -> bool:
    """Whether the protocol-independent joins of RFC 3678 §5 are there.

    Asks by leaving a group that `sock` never joined: a kernel that knows the option says that there is
    no such membership, any other that there is no such option.
    """
    if is_portable():
        return False
    request = pack_group_request(0, _PROBE_GROUPS[socket.AddressFamily(sock.family)])
    try:
        sock.setsockopt(level_of(sock), MCAST_LEAVE_GROUP, request)
    except OSError as error:
        return error.errno not in {errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP}
    return True


def refuse_foreign_groups(sock: socket.socket) -> bool:
    """Deliver only what `sock` itself joined, not all that this host did; False if not there."""
    if is_portable():
        return False
    option = IP_MULTICAST_ALL if sock.family == socket.AF_INET else IPV6_MULTICAST_ALL
    return _try_option(sock, level_of(sock), option, 0)


def force_receive_buffer(sock: socket.socket, size_bytes: int) -> bool:
    """Set the receive buffer past `net.core.rmem_max`; False without CAP_NET_ADMIN."""
    return not is_portable() and _try_option(sock, socket.SOL_SOCKET, SO_RCVBUFFORCE, size_bytes)


def granted_receive_buffer_bytes(sock: socket.socket) -> int:
    """Return the receive buffer in the terms in which it was asked for: Linux reports the double."""
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return granted // 2 if sys.platform == "linux" else granted


def read_drops(sock: socket.socket) -> int | None:
    """Return the kernel's count (u32, wraps) of datagrams that `sock` lost; None if not there."""
    if is_portable():
        return None
    try:
        words = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO_WORDS * 4)
    except OSError:
        return None
    if len(words) < MEMINFO_WORDS * 4:
        return None
    return int(struct.unpack_from("@I", words, (MEMINFO_WORDS - 1) * 4)[0])


def attach_drops(sock: socket.socket) -> bool:
    """Have the kernel add its count of lost datagrams (u32) to each received one; False if not there."""
    return not is_portable() and _try_option(sock, socket.SOL_SOCKET, SO_RXQ_OVFL, 1)


def has_segmentation(sock: socket.socket) -> bool:
    """Whether one send may carry many datagrams of one size (UDP GSO, Linux 4.18)."""
    return not is_portable() and _try_option(sock, SOL_UDP, UDP_SEGMENT, 0)


def has_coalescing(sock: socket.socket) -> bool:
    """Whether one receive may bring many datagrams (UDP GRO, Linux 5.0); leaves it as it was: off."""
    return not is_portable() and _try_option(sock, SOL_UDP, UDP_GRO, 0)


def hear_all_groups(sock: socket.socket, index: int) -> bool:
    """Have a packet socket see every multicast packet of an interface, joined or not; False if not there."""
    request = struct.pack("@iHH8s", index, PACKET_MR_ALLMULTI, 0, b"")
    return not is_portable() and _try_option(sock, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)


def attach_filter(sock: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> bool:
    """Give `sock` a classic BPF program of (code, jump if true, if false, operand); False if not there."""
    code = b"".join(struct.pack("@HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)  # the kernel copies it during the call
    request = struct.pack("@HP", len(program), ctypes.addressof(held))
    return not is_portable() and _try_option(sock, socket.SOL_SOCKET, SO_ATTACH_FILTER, request)


def set_segment(sock: socket.socket, segment_bytes: int) -> bool:
    """Have the kernel cut what is sent into datagrams of that length (UDP_SEGMENT); 0 ends it."""
    return not is_portable() and _try_option(sock, SOL_UDP, UDP_SEGMENT, segment_bytes)


def gather_datagrams(sock: socket.socket) -> bool:
    """Have the kernel hand over datagrams of one length together (UDP_GRO); False if not there."""
    return not is_portable() and _try_option(sock, SOL_UDP, UDP_GRO, 1)


def open_timer() -> int | None:
    """Return a descriptor that becomes readable when `set_timer` says (timerfd, Linux 2.6.25), or None.

    Close it with `os.close`.
    """
    if is_portable():
        return None
    try:
        fd = int(_own_symbols().timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS))
    except AttributeError:  # a C library that has it not
        return None
    return fd if fd >= 0 else None


def set_timer(fd: int, delay_ns: int) -> None:
    """Have a timer go off once after so long; at once if that is not above 0. About 1.5 µs."""
    # struct itimerspec: interval (none) and value, each seconds and ns; a value of 0 would disarm it.
    setting = struct.pack("@llll", 0, 0, *divmod(max(1, delay_ns), NS_PER_S))
    _own_symbols().timerfd_settime(fd, 0, setting, None)


@functools.cache
def _own_symbols() -> ctypes.PyDLL:
    """Return what the C library has, called without letting other threads run: these calls never wait."""
    return ctypes.PyDLL(None)


def level_of(sock: socket.socket) -> int:
    """Return the protocol level of the multicast options of `sock`."""
    return _LEVELS[socket.AddressFamily(sock.family)]


def pack_group_request(index: int, group: str) -> bytes:
    """Return `struct group_req`: interface index, padding, sockaddr_storage (RFC 3678 §5.1)."""
    return struct.pack("@I0P128s", index, pack_address(group))


def pack_group_source_request(index: int, group: str, source: str) -> bytes:
    """Return `struct group_source_req`: as group_req, then the source's sockaddr_storage."""
    return struct.pack("@I0P128s128s", index, pack_address(group), pack_address(source))


def pack_mreqn(group: str, address: str, index: int) -> bytes:
    """Return `struct ip_mreqn`: group, local address, interface index; the index decides (ip(7))."""
    return struct.pack("@4s4si", socket.inet_aton(group), socket.inet_aton(address), index)


def pack_mreq_source(group: str, address: str, source: str) -> bytes:
    """Return `struct ip_mreq_source` in Linux's order: group, local address, source (ip(7))."""
    return b"".join(map(socket.inet_aton, (group, address, source)))


def pack_ipv6_mreq(group: str, index: int) -> bytes:
    """Return `struct ipv6_mreq`: group, interface index (RFC 3493 §5.2)."""
    return struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, group), index)


def pack_address(address: str) -> bytes:
    """Return the `sockaddr_in` or `sockaddr_in6` of `address` with port and scope 0."""
    if ":" in address:
        return struct.pack("@HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, address), 0)
    return struct.pack("@HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _try_option(sock: socket.socket, level: int, option: int, value: int | bytes) -> bool:
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True
