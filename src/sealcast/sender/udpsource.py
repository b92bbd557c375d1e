"""Owns the socket of a live input: an encoder's UDP or RTP stream, multicast or unicast.

An edge: it waits for the socket and hands the datagrams on; `liveinput` says what they mean.
"""

import asyncio
from collections.abc import AsyncIterator

from sealcast.sender.liveinput import InputCounters, LiveInput
from sealcast.sender.runs import Run
from sealcast.transport.address import Endpoint, Scheme
from sealcast.transport.batches import DATAGRAM_MAX_BYTES, DatagramReceiver
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver
from sealcast.transport.unicast import open_unicast_receiver
from sealcast.wire.rtp import PAYLOAD_TYPE_MP2T

TRAINS_PER_TURN = 16
"""Taken before other channels get their turn: some hundred datagrams."""

GATHER_S = 0.002
"""While datagrams come, we look every 2 ms: a wake-up for each would cost more than sealing it."""

_SCRATCH = memoryview(bytearray(2 * DATAGRAM_MAX_BYTES))
"""Where a train is received by whichever input; it is copied out before anybody else runs."""


class UdpSource:
    """Receives from `endpoint`; each datagram leaves at once (`offset_ns` None). It ends only by `close`."""

    def __init__(self, endpoint: Endpoint, *, interface: str | None = None) -> None:
        self._endpoint = endpoint
        self._wanted = interface
        self._input = LiveInput(rtp=endpoint.scheme is Scheme.RTP)
        self._receiver: DatagramReceiver | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.place = str(endpoint)
        """Where the input is received; after `start` with the interface and why it was chosen."""

    @property
    def payload_type(self) -> int:
        """The datagrams of a live input name their own; this is what most of them have."""
        return PAYLOAD_TYPE_MP2T

    @property
    def counters(self) -> InputCounters:
        """What arrived so far."""
        return self._input.counters

    @property
    def local_port(self) -> int:
        """The port bound, once started."""
        return self._receiver.local_address[1] if self._receiver else self._endpoint.port

    def drops(self) -> int | None:
        """Return how many datagrams the kernel threw away for want of room; None if it does not tell."""
        return self._receiver.drops() if self._receiver else 0

    def buffer_advice(self) -> str | None:
        """Return one line for the operator if the kernel granted a smaller receive buffer than asked."""
        return self._receiver.buffer_advice() if self._receiver else None

    async def start(self) -> None:
        """Join or bind; raises UsageError and UnreachableError as `sealcast.transport` does."""
        endpoint = self._endpoint
        if endpoint.is_multicast:
            choice = choose_interface(endpoint.host, self._wanted)
            self._receiver = open_receiver(endpoint.host, endpoint.port, choice.interface, endpoint.source)
            self.place = f"{endpoint} on {choice}"
        else:
            self._receiver = open_unicast_receiver(endpoint.host, endpoint.port)
        self._receiver.take_trains()

    def __aiter__(self) -> AsyncIterator[Run]:
        return self._batches()

    def close(self) -> None:
        """Leave the group and end the iteration."""
        if self._receiver is not None:
            if self._waiting is not None:
                self._waiting.get_loop().remove_reader(self._receiver.fileno())
                _resolve(self._waiting)
            self._receiver.close()

    async def _batches(self) -> AsyncIterator[Run]:
        while self._receiver is not None and self._receiver.fileno() >= 0:
            taken = 0
            while taken < TRAINS_PER_TURN and (train := self._receiver.receive_train(_SCRATCH)) is not None:
                taken += 1
                size_bytes, datagram_bytes = train
                for run in self._input.take_train(bytes(_SCRATCH[:size_bytes]), datagram_bytes):
                    yield run
            if not taken:
                await self._wait(self._receiver.fileno())
            else:
                await asyncio.sleep(0 if taken == TRAINS_PER_TURN else GATHER_S)

    async def _wait(self, fd: int) -> None:
        """Wait until the socket is readable, or closed."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        loop.add_reader(fd, _resolve, self._waiting)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if self._receiver is not None and self._receiver.fileno() == fd:
                loop.remove_reader(fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
