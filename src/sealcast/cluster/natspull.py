"""Owns how messages of a stream are fetched: asked for some at a time, and noticed when they stop coming."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec
from nats.aio.msg import Msg

from sealcast.cluster.natslink import Inbox, Link
from sealcast.core.errors import UnreachableError

HEARTBEAT_NS = 1_000_000_000
SILENCE_S = 3.5
"""Three heartbeats that did not come: the consumer is gone, or the server."""

ASK_FOR_NS = 30 * 1_000_000_000
"""How long the bus keeps a question; it is asked again then."""

HEARTBEAT, NO_MESSAGES, TIMED_OUT, CONFLICT = "100", "404", "408", "409"
ENDED_WELL = (NO_MESSAGES, TIMED_OUT)


class _Next(msgspec.Struct, frozen=True):
    """A question for the next messages."""

    batch: int
    expires: int = ASK_FOR_NS
    idle_heartbeat: int = HEARTBEAT_NS


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message, its sequence, that of its delivery, and how many wait after it; `reply` takes its ack."""

    subject: str
    data: bytes
    sequence: int
    delivery: int
    waiting: int
    reply: str


async def fetch(
    link: Link, stream: str, consumer: str, *, at_once: int
) -> AsyncGenerator[Fetched | None, None]:
    """Give the messages of a consumer as they come, asking for `at_once` each time; None for a quiet second.

    Never ends by itself; raises UnreachableError when the connection breaks, the consumer is gone, or the
    bus falls silent.
    """
    inbox = await link.open_inbox()
    question = msgspec.json.encode(_Next(at_once))
    due = 0
    try:
        while True:
            if due == 0:
                await link.post(
                    f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", question, None, inbox.subject
                )
                due = at_once
            message = await _arrived(link, inbox)
            status = (message.headers or {}).get("Status")
            if status is None:
                due -= 1
                yield _taken_apart(message)
            elif status in ENDED_WELL:
                due = 0
            elif status == HEARTBEAT:
                yield None
            else:
                raise UnreachableError(
                    f"the bus at {link.server} gives out {stream} no more: {_reason(message)}"
                )
    finally:
        await link.close_inbox(inbox)


async def _arrived(link: Link, inbox: Inbox) -> Msg:
    try:
        async with asyncio.timeout(SILENCE_S):
            message = await inbox.arrived.get()
    except TimeoutError as error:
        raise UnreachableError(f"the bus at {link.server} fell silent") from error
    if message is None:
        raise UnreachableError(f"the connection to the bus at {link.server} broke")
    return message


def _taken_apart(message: Msg) -> Fetched:
    try:
        told = message.metadata
    except Exception as error:
        raise UnreachableError("the bus gives out messages that nobody understands") from error
    return Fetched(
        subject=message.subject,
        data=message.data,
        sequence=told.sequence.stream,
        delivery=told.sequence.consumer,
        waiting=told.num_pending,
        reply=message.reply,
    )


def _reason(message: Msg) -> str:
    headers = message.headers or {}
    return headers.get("Description") or headers.get("Status") or "no reason given"
