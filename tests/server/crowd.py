"""Owns a crowd of devices at event streams, run as a program: thousands of TLS connections in one process.

The argument is a `Crowd` in JSON. A line of JSON on standard output says that all streams are open; each line
on standard input is answered by what was heard so far. A device's name and secrets derive from its number.
"""

import asyncio
import hashlib
import os
import resource
import socket
import ssl
import sys
import urllib.request

import msgspec

from sealcast.messages import jose, operations
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.problems import HEADER_NONCE
from sealcast.messages.subscribing import Event, EventsRequest

NONCE_S = 30.0
CROWD_NICENESS = 10
TRIES_MAX = 100


class Crowd(msgspec.Struct, frozen=True):
    """Who listens, and where; `at_once` connect at one time. With `returns` whoever is cut off comes back."""

    keyserver: str
    port: int
    ca_pem: str
    operator: str
    channel: str
    first: int
    count: int
    at_once: int
    returns: bool = False


class Heard(msgspec.Struct, frozen=True):
    """One event: how many heard it, and when the first and last did (monotonic s)."""

    kind: str
    key_id: str
    count: int
    first_s: float
    last_s: float
    opens_in_ms: tuple[int, int]


class Status(msgspec.Struct, frozen=True):
    """What the crowd knows."""

    open: int
    cut_off: int
    refused: int
    took_s: float
    heard: list[Heard]


def device_name(number: int) -> str:
    """Return the serial number of a device."""
    return f"tv-{number:05}"


def device_keys(number: int) -> tuple[Jwk, Jwk]:
    """Return the two secrets of a device that exists for tests."""
    secrets = (hashlib.sha256(f"{name} {number}".encode()).digest() for name in ("signing", "kek"))
    signing, kek = (Jwk(kty="oct", k=b64url_encode(secret)) for secret in secrets)
    return signing, kek


class Listener:
    """One stream: connects, asks, and notes what it hears."""

    __slots__ = ("_crowd", "_data", "_request", "is_open", "number", "socket", "tries")

    def __init__(self, crowd: "Listening", number: int) -> None:
        self._crowd, self.number, self.tries = crowd, number, 0
        self.is_open = False
        self._data = b""
        self._request: bytes | None = None
        self.socket: ssl.SSLSocket | None = None

    def connect(self) -> None:
        """Begin to connect."""
        self.tries += 1
        try:
            self._request = self._crowd.request(self.number)
        except OSError:
            # The key server, which gives the nonce, is away.
            self._crowd.loop.call_soon(self._crowd.cut_off, self)
            return
        plain = socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        plain.connect_ex(("127.0.0.1", self._crowd.settings.port))
        self._data, self.is_open = b"", False
        self._crowd.loop.add_writer(plain, self._connected, plain)

    def _connected(self, plain: socket.socket) -> None:
        loop = self._crowd.loop
        loop.remove_writer(plain)
        try:
            self.socket = self._crowd.tls.wrap_socket(
                plain, server_hostname="127.0.0.1", do_handshake_on_connect=False
            )
        except OSError:
            plain.close()
            self._crowd.cut_off(self)
            return
        loop.add_reader(self.socket, self._ready)
        self._ready()

    def _ready(self) -> None:
        assert self.socket is not None
        try:
            if self._request is not None:
                self.socket.do_handshake()
                self.socket.send(self._request)
                self._request = None
            data = self.socket.recv(4_096)
        except ssl.SSLWantReadError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._crowd.loop.remove_reader(self.socket)
            self.socket.close()
            self._crowd.cut_off(self)

    def _take(self, data: bytes) -> None:
        if not self.is_open:
            head, end, data = (self._data + data).partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            self.is_open = head.startswith(b"HTTP/1.1 200 ")
            self._data = b""
            self._crowd.opened(self)
        *lines, self._data = (self._data + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self._crowd.hear(line[6:])


class Listening:
    """The whole crowd."""

    def __init__(self, settings: Crowd) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.tls = ssl.create_default_context(cadata=settings.ca_pem)
        self.heard: dict[str, Heard] = {}
        self.open = self.cuts = self.refused = 0
        self._waiting = [
            Listener(self, n) for n in range(settings.first + settings.count - 1, settings.first - 1, -1)
        ]
        self._connecting = 0
        self._nonce, self._nonce_s = "", -NONCE_S
        self._began_s = self.loop.time()
        self._took_s = 0.0
        self._all_open = asyncio.Event()

    async def run(self) -> None:
        """Connect all, then answer what is asked on standard input."""
        self._connect_more()
        await self._all_open.wait()
        self.say()
        reader = asyncio.StreamReader()
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            self.say()

    def say(self) -> None:
        """Print the status."""
        status = Status(self.open, self.cuts, self.refused, self._took_s, list(self.heard.values()))
        sys.stdout.write(encode(status).decode() + "\n")
        sys.stdout.flush()

    def request(self, number: int) -> bytes:
        """Return a signed request with its HTTP head."""
        if self.loop.time() - self._nonce_s >= NONCE_S:
            url = self.settings.keyserver + "/v1/nonce"
            with urllib.request.urlopen(url, timeout=5, context=self.tls) as answer:  # noqa: S310 - of the test's own server
                self._nonce, self._nonce_s = answer.headers[HEADER_NONCE], self.loop.time()
        signing, _ = device_keys(number)
        request = EventsRequest(
            aud=self.settings.operator,
            op=operations.EVENTS.name,
            jti=f"{number}-{self.loop.time()}",
            nonce=self._nonce,
            channels=[self.settings.channel],
        )
        token = jose.sign(encode(request), signing, kid=device_name(number), typ=jose.TYP_REQUEST)
        head = f"POST {operations.EVENTS.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(token)}\r\n\r\n"
        return (head + token).encode()

    def opened(self, listener: Listener) -> None:
        """Note that a stream is open, or refused."""
        self.open += listener.is_open
        self.refused += not listener.is_open
        self._next()

    def cut_off(self, listener: Listener) -> None:
        """Note the end of a stream; one that never began is tried again."""
        self.cuts += listener.is_open
        self.open -= listener.is_open
        if listener.tries < TRIES_MAX and (self.settings.returns or not listener.is_open):
            # A test does not wait as long as a device in the field would.
            self.loop.call_later(0.3 + listener.number % 100 / 100, self._again, listener)
        if not listener.is_open:
            self._next()
        listener.is_open = False

    def hear(self, data: bytes) -> None:
        """Note an event."""
        event, now = decode(data, Event), self.loop.time()
        name = f"{event.kind} {event.key_id}"
        known = self.heard.get(name)
        low, high = known.opens_in_ms if known else (event.opens_in_ms, event.opens_in_ms)
        self.heard[name] = Heard(
            event.kind,
            event.key_id,
            known.count + 1 if known else 1,
            known.first_s if known else now,
            now,
            (min(low, event.opens_in_ms), max(high, event.opens_in_ms)),
        )

    def _again(self, listener: Listener) -> None:
        self._waiting.append(listener)
        self._connect_more()

    def _next(self) -> None:
        self._connecting -= 1
        self._connect_more()
        if self.open + self.refused >= self.settings.count and not self._all_open.is_set():
            self._took_s = self.loop.time() - self._began_s
            self._all_open.set()

    def _connect_more(self) -> None:
        while self._waiting and self._connecting < self.settings.at_once:
            self._connecting += 1
            self._waiting.pop().connect()


async def main() -> None:
    """Run the crowd that the argument describes."""
    # Elsewhere each device has a machine of its own; here the servers come first.
    os.nice(CROWD_NICENESS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    await Listening(msgspec.json.decode(sys.argv[1], type=Crowd)).run()


if __name__ == "__main__":
    asyncio.run(main())
