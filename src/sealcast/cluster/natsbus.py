"""Owns the bus over NATS JetStream: the port `cluster.bus.Bus`, over a connection that comes back.

How a journal keeps its order: the bus gives out one batch at a time, and the next when that is acknowledged.
How a watch finds everything: each name's newest entry stands, in the order of publication; it asks for all
that stands after what it had, and for everything where the stream is another one or has less than it gave.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from sealcast.cluster.bus import Delivered, Submitted
from sealcast.cluster.natsconnection import Connection
from sealcast.cluster.natslink import Link, NatsSettings
from sealcast.cluster.natslogin import read_login
from sealcast.cluster.natspublish import Publisher, acknowledged
from sealcast.cluster.natspull import Fetched, fetch
from sealcast.cluster.natsstreams import (
    API_S,
    CONSUMER,
    StreamInfo,
    make_consumer,
    prepare,
    stored,
    stream_info,
    watching,
)
from sealcast.core.errors import SealcastError, UnreachableError, UsageError
from sealcast.core.ports import Random

ENTRIES_AT_ONCE = 500
"""Asked for with one question: a megabyte or so on its way."""

BATCHES_AT_ONCE = 64
"""Given out one by one all the same; it spares asking for each."""

QUIET_S_MAX = 5
"""A master publishes every second. After this long without an entry a watch asks whether there are any: the
server that it listens to may be cut off from the others."""

AGAIN_S = 0.3
"""Between two tries to go on; whoever does without the bus meanwhile says so itself."""

NOT_DONE = b'-NAK {"delay": 1000000000}'
"""A batch that was not recorded comes again in a second, not at once: the database may be away."""

DONE = b"+ACK"

T = TypeVar("T")


@dataclass(slots=True)
class _Place:
    """How far a watch has come, and on which stream: one that was made anew has another `created`."""

    created: str = ""
    sequence: int = 0


async def open_nats_bus(settings: NatsSettings, random: Random) -> "NatsBus":
    """Return the bus, connected if one of its servers answers within some seconds; else it goes on trying.

    Raises UsageError with one line for what trying again does not cure: no JetStream, streams with other
    settings, credentials that are none or are refused, a nats-server that is too old.
    """
    if not settings.servers:
        raise UsageError("the bus needs the address of at least one server, nats://HOST:4222")
    bus = NatsBus(settings, random)
    try:
        await bus.open()
    except BaseException:
        await bus.close()
        raise
    return bus


class NatsBus:
    """One server's port to the bus; made by `open_nats_bus`."""

    def __init__(self, settings: NatsSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._entries = f"{settings.prefix}-entries"
        self._journal = f"{settings.prefix}-journal"
        self._subjects = f"{settings.prefix}.entries."
        login = read_login(settings.credentials)
        self._connection = Connection(settings, login, random, functools.partial(prepare, settings=settings))
        self._publisher = Publisher(settings.prefix, f"{settings.name}-{random.bytes(8).hex()}")

    @property
    def is_up(self) -> bool:
        """Whether it is connected now."""
        return self._connection.is_up

    async def open(self) -> None:
        """Begin to connect; raises UsageError for what trying again does not cure."""
        await self._connection.open()

    async def last_sequence(self) -> int:
        """Return the sequence of the newest entry; raises UnreachableError."""
        return (await self._info(self._entries)).state.last_seq

    async def entry_at(self, sequence: int) -> bytes | None:
        """Return the entry at a sequence, None if none stands there; raises UnreachableError."""
        if not sequence:
            return None
        link = await self._connection.link()
        found = await self._asked(link, stored(link, self._entries, sequence))
        return None if found is None else found.data

    async def journal_batches(self) -> int:
        """Return how many batches of journals nobody has recorded yet; raises UnreachableError."""
        return (await self._info(self._journal)).state.messages

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Publish entries right after `after`; raises FencedError, UnreachableError. See `natspublish`."""
        link = await self._connection.link()
        try:
            return await self._publisher.publish(link, entries, after)
        except (UnreachableError, UsageError) as error:
            raise self._given_up(link, error) from error

    async def watch(self) -> AsyncGenerator[Delivered, None]:
        """Give the newest entry of every name, then each new one; waits while the bus does not answer."""
        place = _Place()
        while not self._connection.is_closed:
            try:
                link = await self._connection.any_link()
                async with aclosing(self._watch_over(link, place)) as watch:
                    async for delivered in watch:
                        yield delivered
            except UnreachableError:
                await self._pause()

    async def submit(self, replica: str, message_id: str, data: bytes) -> None:
        """Hand in a batch, once per `message_id`; raises UnreachableError."""
        link = await self._connection.link()
        subject = f"{self._settings.prefix}.journal.{replica}"
        try:
            answer = await acknowledged(link, subject, data, {"Nats-Msg-Id": message_id})
        except UnreachableError as error:
            raise self._given_up(link, error) from error
        if answer.error is not None:
            raise UnreachableError(f"the bus took no batch: {answer.error.description}")

    async def journal(self) -> AsyncGenerator[Submitted, None]:
        """Give the oldest batch, the next after its `done`; waits while the bus does not answer."""
        while not self._connection.is_closed:
            try:
                link = await self._connection.any_link()
                async with aclosing(self._journal_over(link)) as journal:
                    async for submitted in journal:
                        yield submitted
            except UnreachableError:
                await self._pause()

    async def close(self) -> None:
        """End the connection; what waits ends too."""
        await self._connection.close()

    async def _watch_over(self, link: Link, place: _Place) -> AsyncGenerator[Delivered, None]:
        """Give what is new over one link; raises UnreachableError when it has to begin again."""
        info = await self._info(self._entries, link)
        if info.created != place.created or info.state.last_seq < place.sequence:
            place.created, place.sequence = info.created, 0
        consumer = watching(f"{self._settings.name}-{self._random.bytes(8).hex()}", place.sequence + 1)
        await self._asked(link, make_consumer(link, self._entries, consumer))
        expected, quiet_s = 1, 0
        async with aclosing(fetch(link, self._entries, consumer.name, at_once=ENTRIES_AT_ONCE)) as fetched:
            async for each in fetched:
                if each is None:
                    quiet_s += 1
                    if quiet_s % QUIET_S_MAX == 0:
                        await self._expect_nothing_newer(link, place)
                    continue
                if each.delivery != expected:
                    raise UnreachableError("an entry was lost on its way")
                expected, quiet_s, place.sequence = expected + 1, 0, each.sequence
                yield self._delivered(each)

    async def _expect_nothing_newer(self, link: Link, place: _Place) -> None:
        """Ask who leads the stream; another server is taken if this one gives out less than there is."""
        info = await self._info(self._entries, link)
        if info.created != place.created or info.state.last_seq != place.sequence:
            raise self._given_up(link, UnreachableError(f"the bus at {link.server} is behind"))

    def _delivered(self, fetched: Fetched) -> Delivered:
        name = fetched.subject.removeprefix(self._subjects)
        return Delivered(name, fetched.data, fetched.sequence, is_last=fetched.waiting == 0)

    async def _journal_over(self, link: Link) -> AsyncGenerator[Submitted, None]:
        async with aclosing(fetch(link, self._journal, CONSUMER, at_once=BATCHES_AT_ONCE)) as fetched:
            async for each in fetched:
                if each is None:
                    continue
                done = asyncio.Event()
                replica = each.subject.rpartition(".")[2]
                try:
                    yield Submitted(replica, each.data, functools.partial(self._done, each, done))
                finally:
                    if not done.is_set():
                        with contextlib.suppress(UnreachableError):
                            await link.post(each.reply, NOT_DONE)

    async def _done(self, fetched: Fetched, done: asyncio.Event) -> None:
        link = await self._connection.link()
        try:
            await link.request(fetched.reply, DONE, timeout_s=API_S)
        except UnreachableError as error:
            raise self._given_up(link, error) from error
        done.set()

    async def _info(self, stream: str, link: Link | None = None) -> StreamInfo:
        link = link or await self._connection.link()
        info = await self._asked(link, stream_info(link, stream))
        if info is None:
            if self._settings.is_master:
                raise self._given_up(link, UnreachableError(f"the bus has lost its stream {stream}"))
            raise UnreachableError(f"the bus has no stream {stream} yet: a master makes it")
        return info

    async def _asked(self, link: Link, question: Awaitable[T]) -> T:
        """Return an answer; a link over which none comes is given up."""
        try:
            return await question
        except (UnreachableError, UsageError) as error:
            raise self._given_up(link, error) from error

    def _given_up(self, link: Link, error: SealcastError) -> UnreachableError:
        """Have another link made, to another server, which may be better off."""
        self._connection.give_up(link, str(error))
        return error if isinstance(error, UnreachableError) else UnreachableError(str(error))

    async def _pause(self) -> None:
        await asyncio.sleep(AGAIN_S)
