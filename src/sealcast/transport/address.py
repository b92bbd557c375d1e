"""Owns network addresses as users type them: `[SCHEME://][SOURCE@]HOST:PORT`, IPv6 in brackets.

HOST is a multicast group, an address or, for unicast, a name; SOURCE names the one sender of a
source-specific group (RFC 4607). `udp://@GROUP:PORT`, as players write it, means any source.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from sealcast.core.errors import UsageError

EXAMPLE = "239.1.2.3:5004, [ff15::1]:5004 or rtp://192.0.2.1@232.1.2.3:5004"
PORT_MAX = 65_535
NAME_PATTERN = re.compile(
    r"(?=.{1,253}\Z)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z_-][A-Za-z0-9_-]{0,62}\.?\Z", re.ASCII
)
"""A host name whose last label does not begin with a digit, so that a mistyped address is not one."""

IPV4_SOURCE_SPECIFIC = ipaddress.IPv4Network("232.0.0.0/8")
"""RFC 4607 §1; IPv6 has ff3x::/32 for each scope x."""


class Scheme(StrEnum):
    """What the datagrams hold: bare payload, or RTP packets."""

    UDP = "udp"
    RTP = "rtp"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to send to or receive from; `host` and `source` in their canonical form."""

    host: str
    port: int
    source: str | None = None
    scheme: Scheme = Scheme.UDP

    @property
    def is_multicast(self) -> bool:
        """Whether `host` is a multicast group."""
        return is_group(self.host)

    def __str__(self) -> str:
        source = f"{_bracketed(self.source)}@" if self.source else ""
        return f"{self.scheme}://{source}{format_place(self.host, self.port)}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `[udp://|rtp://][SOURCE@]HOST:PORT`; without a scheme it is udp. Raises UsageError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = Scheme.UDP.value, text
    if scheme.lower() not in list(Scheme):
        raise UsageError(f"unknown scheme {scheme!r} in {text!r}; write udp:// or rtp://")
    source_text, _, place = rest.rpartition("@")
    host, port = _parse_place(place, text)
    source = _parse_source(source_text, host, text) if source_text else None
    return Endpoint(host, port, source, Scheme(scheme.lower()))


def parse_group(text: str) -> Endpoint:
    """Read an endpoint whose host is a multicast group; raises UsageError."""
    endpoint = parse_endpoint(text)
    if not endpoint.is_multicast:
        raise UsageError(
            f"{endpoint.host} is not a multicast group; take one of 239.0.0.0/8, 232.0.0.0/8 or ff15::/16"
        )
    return endpoint


def is_group(host: str) -> bool:
    """Whether `host` is the address of a multicast group."""
    address = _address_of(host)
    return address is not None and address.is_multicast


def is_source_specific(group: str) -> bool:
    """Whether `group` may only be joined together with a source (RFC 4607 §1)."""
    address = _address_of(group)
    if isinstance(address, ipaddress.IPv6Address):
        return address.packed[0] == 0xFF and address.packed[1] >> 4 == 3 and address.packed[2:4] == b"\0\0"
    return address is not None and address in IPV4_SOURCE_SPECIFIC


def format_place(host: str, port: int) -> str:
    """Return `HOST:PORT`, an IPv6 address in brackets."""
    return f"{_bracketed(host)}:{port}"


def _parse_place(place: str, text: str) -> tuple[str, int]:
    host, _, port_text = place.rpartition(":")
    if not host or not (port_text.isascii() and port_text.isdigit()):
        raise UsageError(f"no port in {text!r}; write for instance {EXAMPLE}")
    port = int(port_text[:6])
    if not 1 <= port <= PORT_MAX:
        raise UsageError(f"port {port_text[:20]} in {text!r} is not between 1 and {PORT_MAX}")
    return _parse_host(host, text), port


def _parse_host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        address = _address_of(host[1:-1])
        if not isinstance(address, ipaddress.IPv6Address):
            raise UsageError(f"{host} in {text!r} is not an IPv6 address")
        return str(address)
    if ":" in host:
        raise UsageError(f"write the IPv6 address in {text!r} in brackets, for instance [ff15::1]:5004")
    address = _address_of(host)
    if address is None and not NAME_PATTERN.match(host):
        raise UsageError(f"{host!r} in {text!r} is neither an address nor a host name")
    return str(address) if address else host.lower()


def _parse_source(source: str, host: str, text: str) -> str:
    address = _address_of(source[1:-1] if source.startswith("[") and source.endswith("]") else source)
    group = _address_of(host)
    if group is None or not group.is_multicast:
        raise UsageError(f"only a multicast group takes a source, and {host} is none; leave out {source}@")
    if address is None or address.version != group.version or address.is_multicast or address.is_unspecified:
        raise UsageError(f"the source {source!r} in {text!r} is not the IPv{group.version} address of a host")
    return str(address)


def _address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address; one with a zone (`%eth0`) is none, as the interface is chosen by its own option."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
