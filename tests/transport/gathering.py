"""Owns waiting for datagrams in tests: until enough came, or until a later one proves that none will."""

import select
import time

from sealcast.transport.batches import DatagramReceiver
from sealcast.transport.interfaces import Interface
from sealcast.transport.multicast import open_receiver, open_sender

PATIENCE_S = 10.0
FENCE_GROUP = "239.255.0.99"


def gather(receiver: DatagramReceiver, count: int) -> list[bytes]:
    """Receive until there are `count` datagrams; fewer only after `PATIENCE_S`."""
    received: list[bytes] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(received) < count and (left := deadline - time.monotonic()) > 0:
        select.select([receiver], [], [], left)
        received += receiver.receive_batch(count - len(received))
    return received


def wait_until_delivered(interface: Interface, port: int) -> None:
    """Return when a datagram sent now has gone through the loopback, and so all sent before."""
    with (
        open_receiver(FENCE_GROUP, port, interface) as fence,
        open_sender(FENCE_GROUP, port, interface) as post,
    ):
        post.send_batch([b"fence"])
        assert gather(fence, 1) == [b"fence"]
