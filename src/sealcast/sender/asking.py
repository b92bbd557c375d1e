"""Owns the endpoint at which a sender is asked which key is on air: a UDP socket in the loop of its run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import structlog

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import Clock
from sealcast.sender.questions import QuestionCounts, QuestionDesk
from sealcast.transport.address import format_place, parse_endpoint
from sealcast.transport.failures import explain
from sealcast.wire.seal import Seal

log = structlog.get_logger("sealcast.sender")


@contextlib.asynccontextmanager
async def answering(
    spec: ChannelSpec,
    told: Callable[[int], Seal | None],
    sign: Callable[[bytes], bytes],
    clock: Clock,
) -> AsyncIterator[QuestionCounts]:
    """Answer questions at a channel's `ask`, if it has one, until the block ends; gives the counts.

    `told` gives what a SEAL packet would say now. Raises UsageError or UnreachableError if the place cannot
    be listened at.
    """
    desk = QuestionDesk(spec.number, told, sign)
    if spec.ask is None:
        yield desk.counts
        return
    place = parse_endpoint(spec.ask)
    name = format_place(place.host, place.port)
    try:
        endpoint, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Endpoint(desk, clock), local_addr=(place.host, place.port)
        )
    except OSError as error:
        raise explain(error, f"cannot answer receivers' questions at {name} (the channel's --ask)") from error
    log.info("answering questions", place=name)
    try:
        yield desk.counts
    finally:
        endpoint.close()
        counts = desk.counts
        log.info(
            "questions", answered=counts.answered, limited=counts.limited, refused=counts.refused, place=name
        )


class _Endpoint(asyncio.DatagramProtocol):
    """Hands each datagram to the desk, and sends its answer back where it came from."""

    def __init__(self, desk: QuestionDesk, clock: Clock) -> None:
        self._desk, self._clock = desk, clock
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket's transport."""
        # In Python 3.11 the transport of a datagram socket is no DatagramTransport, but has its methods.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, or not. What cannot be sent is lost, as on the way; the receiver asks again."""
        answer = self._desk.answer(data, addr[0], self._clock.monotonic_ns())
        if answer is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """Go on: somebody who asked is gone."""
