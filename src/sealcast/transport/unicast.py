"""Owns opening sockets for plain unicast UDP: outputs to players, inputs from encoders.

Names are resolved while opening, which may wait for DNS: open before the stream starts.
"""

import socket

from sealcast.core.errors import UsageError
from sealcast.transport.address import format_place, is_group
from sealcast.transport.batches import RECEIVE_BUFFER_BYTES, DatagramReceiver, DatagramSender
from sealcast.transport.opening import opening


def open_unicast_sender(host: str, port: int) -> DatagramSender:
    """Return a sender to `host`, a name or an address; nobody need listen there yet.

    Raises UsageError (unknown name, a multicast group) and UnreachableError (no route).
    """
    if is_group(host):
        raise UsageError(f"{host} is a multicast group; name one host, for instance 127.0.0.1")
    name = format_place(host, port)
    family, address = _resolve(host, port, flags=0)
    with opening(family, f"cannot send to {name}") as sock:
        sock.connect(address)
        return DatagramSender(sock, name)


def open_unicast_receiver(
    host: str, port: int, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES
) -> DatagramReceiver:
    """Return a receiver bound to `host`, an address of this host, `0.0.0.0` or `::`; port 0 takes a free one.

    The port is not shared. Raises UsageError (port in use, no such address, not permitted).
    """
    name = format_place(host, port)
    family, address = _resolve(host, port, flags=socket.AI_PASSIVE)
    with opening(family, f"cannot receive on {name}") as sock:
        sock.bind(address)
        return DatagramReceiver(sock, name, receive_buffer_bytes)


def _resolve(host: str, port: int, flags: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Return the family and the socket address of the system's first choice for `host`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no address is known for the host {host!r}; check the name") from error
    family, _, _, _, address = found[0]
    return family, address
