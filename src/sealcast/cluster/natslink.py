"""Owns one connection to one NATS server, from its beginning until it breaks; another comes after it.

The client library's own reconnection is not used: it keeps what could not be sent and sends it later, when
another may be master. Here everything that waits fails as soon as the connection does.
"""

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from sealcast.cluster.natslogin import Login, tls_context
from sealcast.core.errors import UnreachableError, UsageError
from sealcast.core.ports import Random

CONNECT_S = 2.0
"""For TCP, TLS and the greeting; another server is tried then."""

PING_S, PINGS_MISSING_MAX = 3, 2
"""A server that vanished without a word is given up after three of them."""

CLOSE_S = 1.0
NO_RESPONDERS = "503"
SERVER_VERSION_MIN = (2, 12)
"""The first that publishes batches whole or not at all."""


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """Where the bus is and who asks: the addresses of its servers, and this server's `name` in the cluster.

    `prefix` begins the names of all that stands on it. `credentials` is a file as `natslogin` reads it, `ca`
    one of certificates that `tls://` addresses are checked with. Masters make the streams.
    """

    servers: tuple[str, ...]
    name: str
    prefix: str = "sealcast"
    credentials: Path | None = None
    ca: Path | None = None
    is_master: bool = False


@dataclass(slots=True)
class Inbox:
    """A subject of our own, and what arrived there; None once the connection broke."""

    subject: str
    subscription: Subscription | None = None
    arrived: asyncio.Queue[Msg | None] = field(default_factory=asyncio.Queue)


class _Client(Client):
    """The library's client, to which `tls://` is but a wish: here a server without TLS is told nothing."""

    def _connect_command(self) -> bytes:
        server = self._current_server
        if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise nats_errors.Error("it speaks no TLS, give its address as nats://")
        return super()._connect_command()

    def abort(self) -> None:
        """Give the socket back at once, whatever stands in its buffer; a closed client stays closed."""
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


class Link:
    """One connection. `is_ready` is for its user: whether what it needs was found on the bus."""

    def __init__(self, client: _Client, server: str, inbox_prefix: str) -> None:
        self.server = server
        self.is_ready = False
        self._client = client
        self._prefix = inbox_prefix
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._inboxes: list[Inbox] = []
        self.broken = asyncio.Event()
        self.reason = ""
        self._refusal = ""

    @property
    def is_of_cluster(self) -> bool:
        """Whether the server is one of several that keep streams together."""
        return bool(self._client._server_info.get("cluster"))  # noqa: SLF001 - told nowhere else

    @property
    def is_broken(self) -> bool:
        """Whether nothing goes over it any more."""
        return self.broken.is_set()

    async def post(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Send a message; nobody says whether it arrives. Raises UnreachableError once broken."""
        if self.is_broken:
            raise UnreachableError(self.reason)
        try:
            await self._client.publish(subject, data, headers=headers, reply=reply)
        except (nats_errors.Error, OSError) as error:
            raise UnreachableError(f"the bus at {self.server} takes no message: {_text(error)}") from error

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, *, timeout_s: float
    ) -> Msg:
        """Send a message and return the answer; raises UnreachableError if there is none in time.

        Who sees that may `break_off`: another server of the bus may be better off.
        """
        number = str(next(self._numbers))
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self.post(subject, data, headers, f"{self._prefix}.{number}")
                return await answer
        except TimeoutError as error:
            raise UnreachableError(
                f"the bus at {self.server} did not answer within {timeout_s:g} s{self._refusal}"
            ) from error
        finally:
            self._waiting.pop(number, None)

    async def open_inbox(self) -> Inbox:
        """Return a new inbox; `close_inbox` when done with it. Raises UnreachableError once broken."""
        inbox = Inbox(f"{self._prefix}.in.{next(self._numbers)}")

        async def arrived(message: Msg) -> None:
            inbox.arrived.put_nowait(message)

        if self.is_broken:
            raise UnreachableError(self.reason)
        try:
            # Messages of a stream bear its subject, whatever inbox they come to: each needs a subscription.
            inbox.subscription = await self._client.subscribe(inbox.subject, cb=arrived)
        except (nats_errors.Error, OSError) as error:
            raise UnreachableError(f"the bus at {self.server} sends no messages: {_text(error)}") from error
        self._inboxes.append(inbox)
        return inbox

    async def close_inbox(self, inbox: Inbox) -> None:
        """Take nothing more for an inbox."""
        self._inboxes.remove(inbox)
        if inbox.subscription is not None and not self.is_broken:
            with contextlib.suppress(nats_errors.Error, OSError):
                await inbox.subscription.unsubscribe()

    def break_off(self, reason: str) -> None:
        """Have everything that waits fail; the connection is used no more."""
        if self.is_broken:
            return
        self.reason = reason
        self.broken.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(UnreachableError(reason))
        for inbox in self._inboxes:
            inbox.arrived.put_nowait(None)

    def refused(self, error: Exception) -> None:
        """Keep what the server said against a message; it names no request, which goes without an answer."""
        self._refusal = f"; it says: {_text(error)}"

    async def listen(self) -> None:
        """Begin to take answers."""
        await self._client.subscribe(f"{self._prefix}.*", cb=self._take)

    async def close(self) -> None:
        """Close the connection, within CLOSE_S."""
        self.break_off("the connection to the bus was closed")
        await _close(self._client)

    async def _take(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(message)


async def open_link(server: str, settings: NatsSettings, login: Login, random: Random) -> Link:
    """Connect to one server of the bus.

    Raises UnreachableError if it does not answer, UsageError if it is too old or refuses to let us in.
    """
    client = _Client()
    failures: list[Exception] = []
    links: list[Link] = []

    async def failed(error: Exception) -> None:
        failures.append(error)
        for link in links:
            link.refused(error)

    async def closed() -> None:
        for link in links:
            link.break_off(f"the connection to the bus at {server} broke")

    inbox_prefix = f"_INBOX_{settings.name}.{random.bytes(8).hex()}"
    try:
        async with asyncio.timeout(CONNECT_S):
            await client.connect(
                servers=[server],
                name=f"sealcast {settings.name}",
                error_cb=failed,
                closed_cb=closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(CONNECT_S),
                ping_interval=PING_S,
                max_outstanding_pings=PINGS_MISSING_MAX,
                tls=tls_context(settings.ca),
                user=login.user,
                password=login.password,
                user_jwt_cb=login.jwt,
                signature_cb=login.sign,
                inbox_prefix=inbox_prefix,
            )
            links.append(Link(client, server, inbox_prefix))
            await links[0].listen()
    except (nats_errors.Error, OSError, TimeoutError) as error:
        await _close(client)
        raise _why(server, failures[0] if failures else error) from error
    except BaseException:
        await _close(client)
        raise
    version = client.connected_server_version
    if (version.major, version.minor) < SERVER_VERSION_MIN:
        await _close(client)
        wanted = ".".join(map(str, SERVER_VERSION_MIN))
        raise UsageError(
            f"the bus at {server} is nats-server {version.major}.{version.minor}, {wanted} is needed"
        )
    return links[0]


def _why(server: str, error: Exception) -> UnreachableError | UsageError:
    text = _text(error)
    if "uthorization" in text or "uthentication" in text:
        return UsageError(f"the bus at {server} lets this server not in: check the credentials file")
    return UnreachableError(f"the bus at {server} does not answer: {text}")


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__).removeprefix("nats: ").splitlines()[0]


async def _close(client: _Client) -> None:
    """Close a client, whatever state it is in; nothing of it may hold up our own end."""
    try:
        with contextlib.suppress(nats_errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await client.close()
    finally:
        client.abort()
