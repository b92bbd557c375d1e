"""Owns HTTP/1.1 (RFC 9112) as bytes: whole requests out of what a connection brings, the head of an answer.

llhttp, the parser of Node.js, reads (by httptools). Here stand the bounds of what it reads, and what it
leaves to its callers: fields that may stand there once, which versions are spoken, a target with its host.
"""

import logging
from collections import deque
from functools import lru_cache
from http import HTTPStatus
from re import IGNORECASE
from re import compile as pattern
from typing import NoReturn
from urllib.parse import unquote_to_bytes

import msgspec
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from sealcast.core.errors import RefusedError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX

HEAD_BYTES_MAX = 16 * 1024
"""Clients of ours send 300 bytes; a proxy adds some."""

AROUND_BYTES_MAX = 2 * HEAD_BYTES_MAX
"""What may come with a request beside its body: its head, and the marks of its chunks."""

LENGTH_DIGITS_MAX = 20
"""A length with more is too large, or would cost more to read than it says."""

FIELDS_MAX = 100
HEADS_MAX = 128
"""Heads of answers remembered."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ORIGIN = pattern(rb"https?://[^/?]*", IGNORECASE)
OK = 200
_BODILESS = frozenset({204, 304})
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"host"})
_log = logging.getLogger(__name__)


class Request(msgspec.Struct, frozen=True):
    """A whole request; `fields` are by lower-case name, in their order, `target` is as it came."""

    method: str
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    is_kept: bool
    """Whether the connection is for further requests."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        raw, _ = split(self.target)
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")


def split(target: bytes) -> tuple[bytes, bytes]:
    """Return the path of a target as it came, and what stands behind its question mark."""
    if not target.startswith(b"/"):
        origin = _ORIGIN.match(target)
        target = target[origin.end() :] if origin is not None else target
    path, _, query = target.partition(b"?")
    return path or b"/", query


class Requests:
    """Takes the bytes of one connection; `waiting` are the requests that came whole, in their order."""

    __slots__ = (
        "_body_bytes",
        "_came_bytes",
        "_feed",
        "_fields",
        "_is_1_1",
        "_is_behind",
        "_is_over",
        "_no",
        "_parser",
        "_parts",
        "_target",
        "awaits_continue",
        "is_begun",
        "is_in_body",
        "waiting",
    )

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self.waiting: deque[Request] = deque()
        self.is_begun = self.is_in_body = self.awaits_continue = self._is_over = False
        """Whether a request has begun, whether its head is whole, and whether its sender waits for a word."""

        self._is_behind = False
        self._no: RefusedError | None = None
        self._forget()

    def take(self, data: bytes) -> None:
        """Take what has come; raises RefusedError with the HTTP status, once, for what is no request for us.

        What came whole before it waits all the same; nothing that comes after it is read.
        """
        if self._is_over:
            return
        self._is_behind = False
        try:
            self._feed(data)
            if self.is_begun and not self._is_behind:
                self._count(len(data))
        except HttpParserUpgrade:
            # The request is whole, and answered as it stands; there is nothing else that we could speak.
            self._is_over = True
        except HttpParserCallbackError:
            if self._no is None:
                _log.exception("a request could not be read")
                self._no = bad_request("not a request of HTTP/1.1")
        except HttpParserError:
            self._no = bad_request("not a request of HTTP/1.1")
        except RefusedError:
            pass
        if self._no is not None:
            self._is_over = True
            raise self._no

    def end(self) -> None:
        """Take nothing more, and let go of the parser: it holds this object, which holds it."""
        self._is_over, self._no = True, None
        self.waiting.clear()
        del self._parser, self._feed

    # From the parser

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self.is_begun = True

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        if self.is_in_body:
            # Trailers say nothing to us; a few would do no harm, but nobody sends any.
            self._refuse("no trailers are taken")
        if len(self._fields) >= FIELDS_MAX:
            self._refuse("too many header fields", 431)
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Look at the head as a whole."""
        version = self._parser.get_http_version()
        by_name = dict(self._fields)
        self._is_1_1 = version == "1.1"
        if not self._is_1_1 and version != "1.0":
            self._refuse("not a request of HTTP/1.1")
        if len(by_name) < len(self._fields):
            names = [name for name, _ in self._fields]
            if any(names.count(name) > 1 for name in _ONCE):
                self._refuse("a header field stands there twice")
        if self._is_1_1 and b"host" not in by_name:
            self._refuse("a request says its Host")
        coding = by_name.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._refuse("a body comes as it is or in chunks, in no other coding", 501)
        length = by_name.get(b"content-length", b"0")
        if len(length) > LENGTH_DIGITS_MAX or int(length) > MESSAGE_BYTES_MAX:
            self._too_large()
        self.is_in_body = True
        if b"expect" in by_name:
            self.awaits_continue = self._is_1_1 and by_name[b"expect"].lower() == b"100-continue"

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(part)
        self._body_bytes += len(part)
        if self._body_bytes > MESSAGE_BYTES_MAX:
            self._too_large()

    def on_message_complete(self) -> None:
        """Let the request wait for whoever asks for it."""
        parser = self._parser
        is_kept = self._is_1_1 and parser.should_keep_alive() and not parser.should_upgrade()
        method = parser.get_method().decode("ascii")
        self.waiting.append(Request(method, self._target, self._fields, b"".join(self._parts), is_kept))
        self._is_behind = True
        self._forget()

    def _forget(self) -> None:
        """Keep nothing of a request that is whole: the next one may come in hours."""
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._body_bytes = self._came_bytes = 0
        self.is_begun = self.is_in_body = self.awaits_continue = self._is_1_1 = False

    def _count(self, count: int) -> None:
        """Count bytes of a request that is not whole; of one that began behind another, those that follow."""
        self._came_bytes += count
        if not self.is_in_body:
            if self._came_bytes > HEAD_BYTES_MAX:
                self._refuse("the headers are too long", 431)
        elif self._came_bytes - self._body_bytes > AROUND_BYTES_MAX:
            self._refuse("too much around the body")

    def _too_large(self) -> NoReturn:
        self._refuse("Request Entity Too Large", 413)

    def _refuse(self, detail: str, status: int = 400) -> NoReturn:
        self._no = bad_request(detail, status)
        raise self._no


def bad_request(detail: str, status: int = 400) -> RefusedError:
    """Return a no that is about HTTP; the connection ends after it."""
    return RefusedError("about:blank", detail, status)


@lru_cache(HEADS_MAX)
def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    return f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")


@lru_cache(HEADS_MAX)
def answer_head(status: int, media_type: str, *headers: tuple[str, str]) -> bytes:
    """Return an answer's head but for its length, its date and the end; most differ by the nonce alone."""
    fields = (("content-type", media_type), *headers)
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in fields)
    return status_line(status) + lines.encode("latin-1")


def has_body(status: int) -> bool:
    """Whether an answer of that status may have a body."""
    return status >= OK and status not in _BODILESS
