"""Owns a load of HTTPS requests that takes little of the machine: connections kept alive, one request each.

One thread, one `epoll`, TLS by OpenSSL: about 30 µs a request, which is less than any server of ours takes.
"""

import select
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from sealcast.client.transfer import trust
from sealcast.core.errors import LocalError

ANSWER_S_MAX = 10.0
"""Nobody waits that long for an answer; a server that is mute so long ends the measurement."""

READ_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to: answers a second, and how long one took in the middle and at p99."""

    answers: int
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class _Line:
    """One connection, when its request went out, and what of the answer is there."""

    tls: ssl.SSLSocket
    sent_s: float = 0.0
    data: bytes = b""


def request_bytes(method: str, path: str, body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request as it goes out."""
    kind = b"Content-Type: application/jose\r\n" if body else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + kind + b"\r\n" + body


class HttpsLoad:
    """Connections to servers on this machine, as many to each; use it in a `with`."""

    def __init__(self, ports: int | Sequence[int], ca_pem: str, connections: int) -> None:
        """Connect; raises OSError."""
        places = [ports] if isinstance(ports, int) else ports
        context = trust(ca_pem)
        self._lines: dict[int, _Line] = {}
        self._poll = select.epoll()
        for number in range(connections):
            raw = socket.create_connection(("127.0.0.1", places[number % len(places)]), ANSWER_S_MAX)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
            tls.setblocking(False)
            self._lines[tls.fileno()] = _Line(tls)
            self._poll.register(tls.fileno(), select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for line in self._lines.values():
            line.tls.close()

    def drive(self, requests: Sequence[bytes]) -> Load:
        """Send each of `requests`, a new one on a connection as soon as the last is answered.

        Raises LocalError for an answer other than 200, and for none at all.
        """
        coming = iter(requests)
        waits_s: list[float] = []
        began_s = time.perf_counter()
        for line in self._lines.values():
            _send(line, coming)
        while len(waits_s) < len(requests):
            ready = self._poll.poll(ANSWER_S_MAX)
            if not ready:
                raise LocalError(f"no answer within {ANSWER_S_MAX:.0f} s: the server is mute")
            for number, _ in ready:
                line = self._lines[number]
                if _is_answered(line):
                    waits_s.append(time.perf_counter() - line.sent_s)
                    _send(line, coming)
        whole_s = time.perf_counter() - began_s
        waits_s.sort()
        middle, high = (waits_s[int(len(waits_s) * share)] * 1_000 for share in (0.5, 0.99))
        return Load(len(waits_s), len(waits_s) / whole_s, middle, high)


def _send(line: _Line, coming: Iterator[bytes]) -> None:
    """Send the next request, if there is one; an idle socket takes it whole, it is small."""
    request = next(coming, None)
    if request is not None:
        line.sent_s = time.perf_counter()
        line.tls.send(request)


def _is_answered(line: _Line) -> bool:
    """Read what is there; return whether the answer is whole. Raises LocalError for a no."""
    try:
        piece = line.tls.recv(READ_BYTES)
    except ssl.SSLWantReadError:
        return False
    data = line.data + piece
    if not piece or not b"HTTP/1.1 200".startswith(data[:12]):
        raise LocalError(f"the server answered: {data[:1_000]!r}")
    end = data.find(_HEAD_END)
    if end >= 0:
        begin = data.lower().find(_LENGTH, 0, end)
        if begin < 0:
            raise LocalError("the server's answer has no length")
        begin += len(_LENGTH)
        if len(data) >= end + len(_HEAD_END) + int(data[begin : data.index(b"\r", begin)]):
            line.data = b""
            return True
    line.data = data
    return False
