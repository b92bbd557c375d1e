"""Decides whether a channel may be added: two never share a group and one of their ports."""

import ipaddress
from collections.abc import Iterable

from sealcast.core.channel import ChannelSpec
from sealcast.keyserver.values import refusal


def check_free(spec: ChannelSpec, existing: Iterable[ChannelSpec]) -> None:
    """Raise the refusal `exists` or `overlap` if `spec` cannot stand beside the `existing` channels.

    A receiver of one would get the packets of the other: {port, port + 1} must be apart in one group.
    """
    for other in existing:
        if other.name == spec.name:
            raise refusal(
                "exists", f"there is a channel {spec.name} already; remove it or choose another name"
            )
        if _same_group(spec.group, other.group) and abs(spec.port - other.port) <= 1:
            raise refusal(
                "overlap",
                f"channel {other.name} uses {other.group} ports {other.port} and {other.control_port}; "
                "choose another group or port",
            )


def _same_group(one: str, other: str) -> bool:
    return ipaddress.ip_address(one) == ipaddress.ip_address(other)
