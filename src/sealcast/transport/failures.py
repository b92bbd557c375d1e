"""Owns the translation of the operating system's errors into one clear line of ours."""

import errno

from sealcast.core.errors import SealcastError, UnreachableError, UsageError

BUFFER_FULL = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS})
"""The kernel has no room at the moment; it will have some soon."""

DISCARDED = frozenset({errno.EPERM, errno.EACCES})
"""A packet filter of this host threw the datagram away."""

_UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO}
)

_ADVICE = {
    errno.EADDRINUSE: "the port is in use by another program; stop that program or take another port",
    errno.EACCES: "not permitted; ports below 1024 need root",
    errno.EPERM: "not permitted; run it as root or allow it in the firewall",
    errno.EADDRNOTAVAIL: "this host has no such address; see `ip address`",
    errno.EAFNOSUPPORT: "this host does not speak that version of IP",
    errno.ENOBUFS: "the kernel's limit of joined groups is reached; raise net.ipv4.igmp_max_memberships",
    errno.EMFILE: "too many open files; raise the limit with `ulimit -n`",
    errno.EMSGSIZE: "the datagram is too long; an IPv4 datagram carries at most 65,507 bytes",
    errno.ENODEV: "there is no such interface; see `ip link`",
}


def explain(error: OSError, doing: str) -> SealcastError:
    """Return the error to raise instead of `error`, in words that begin with what we were doing.

    UnreachableError when the network is not there, else UsageError.
    """
    number = error.errno or 0
    if number in _UNREACHABLE:
        return UnreachableError(f"{doing}: {_lower(error)}; is the interface up and is there a route?")
    return UsageError(f"{doing}: {_ADVICE.get(number) or _lower(error)}")


def _lower(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
