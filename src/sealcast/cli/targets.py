"""Owns how a channel to receive is named: by name, by number, or by the address of its stream."""

from sealcast.core.errors import UsageError
from sealcast.transport.address import Endpoint, Scheme, parse_group


def parse_target(text: str) -> str | Endpoint:
    """Return a channel's name or number as it is, a stream's address read; raises UsageError."""
    if "://" not in text:
        return text
    place = parse_group(text)
    if place.scheme is not Scheme.RTP or place.port % 2:
        raise UsageError(f"a stream is rtp://[SOURCE@]GROUP:PORT with the even data port, not {text!r}")
    return place
