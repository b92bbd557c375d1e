"""Owns HTTP/1.1 (RFC 9112) as bytes: the head of a request, its body's chunks, the head of an answer.

```
METHOD SP target SP HTTP/1.1 CRLF ‖ name ":" value CRLF ... ‖ CRLF ‖ body: Content-Length bytes, or chunks
```
What two readers could take for two different requests is refused: lines that go on, lengths that stand there
twice or beside chunks, spaces before a colon, lines without a carriage return. It knows nothing of sockets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from sealcast.core.errors import RefusedError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX

HEAD_BYTES_MAX = 16 * 1024
"""Clients of ours send 300 bytes; a proxy adds some."""

FIELDS_MAX = 100
HEADS_MAX = 128
"""Heads remembered: a client sends the same one with each request of the same length. At most 2 MB."""

SMALL_HEAD_BYTES_MAX = 1_024
"""Longer heads are read each time, so that what is remembered stays small."""

CHUNK_LINE_BYTES_MAX = 256
"""A chunk's length, with extensions that nobody sends."""

END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,8000}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\x20-\x7e\t]*)?")
_ORIGIN = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"host"})


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head; `body_bytes` is None where the body comes in chunks.

    `path` is decoded, `raw_path` as it came; `fields` are by lower-case name, in their order.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body_bytes: int | None
    is_kept: bool
    """Whether the connection is for further requests."""

    awaits_continue: bool


def parse_head(data: bytes) -> Head:
    """Read a request's head, without the empty line at its end.

    Raises RefusedError with the HTTP status for what is no request, or none for us.
    """
    return _remembered(data) if len(data) <= SMALL_HEAD_BYTES_MAX else _parse(data)


def bad_request(detail: str, status: int = 400) -> RefusedError:
    """Return a no that is about HTTP; the connection ends after it."""
    return RefusedError("about:blank", detail, status)


@lru_cache(HEADS_MAX)
def _remembered(data: bytes) -> Head:
    return _parse(data)


def _parse(data: bytes) -> Head:
    first, *lines = data.split(b"\r\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise bad_request("not a request of HTTP/1.1")
    method, target, is_1_1 = asked[1].decode("ascii"), asked[2], asked[3] == b"1"
    if len(lines) > FIELDS_MAX:
        raise bad_request("too many header fields", 431)
    fields = tuple(map(_field, lines))
    names = [name for name, _ in fields]
    by_name = dict(fields)
    if any(names.count(name) > 1 for name in _ONCE):
        raise bad_request("a header field stands there twice")
    if is_1_1 and b"host" not in by_name:
        raise bad_request("a request says its Host")
    origin = _ORIGIN.match(target)
    raw_path, _, query = target[origin.end() if origin is not None else 0 :].partition(b"?")
    path = unquote_to_bytes(raw_path or b"/").decode("utf-8", "replace")
    options = {
        each.strip().lower() for name, value in fields if name == b"connection" for each in value.split(b",")
    }
    is_kept = is_1_1 and b"close" not in options
    awaits_continue = is_1_1 and by_name.get(b"expect", b"").lower() == b"100-continue"
    return Head(method, path, raw_path, query, fields, _body_bytes(by_name), is_kept, awaits_continue)


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise bad_request("not a header field of HTTP/1.1")
    return found[1].lower(), found[2].rstrip(b" \t")


def _body_bytes(fields: Mapping[bytes, bytes]) -> int | None:
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise bad_request("a body has a length or comes in chunks")
        if coding.lower() != b"chunked":
            raise bad_request("a body comes as it is or in chunks, in no other coding", 501)
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise bad_request("not a Content-Length")
    if int(length) > MESSAGE_BYTES_MAX:
        raise too_large()
    return int(length)


def too_large() -> RefusedError:
    """Return the no to a body that is larger than any message of ours."""
    return bad_request("Request Entity Too Large", 413)


class Chunks:
    """Takes the chunks of one body; `body` is what came so far."""

    def __init__(self) -> None:
        self.body = bytearray()
        self._missing = 0
        self._ends = False

    def take(self, incoming: bytearray) -> bool:
        """Take what is there off `incoming`; return whether the body is whole. Raises RefusedError."""
        while True:
            if self._missing:
                # Two more than the chunk has: the line's end behind it.
                piece = incoming[: self._missing]
                del incoming[: len(piece)]
                self.body += piece
                self._missing -= len(piece)
                if self._missing:
                    return False
                if not self.body.endswith(b"\r\n"):
                    raise bad_request("a chunk is longer than it says")
                del self.body[-2:]
            end = incoming.find(b"\r\n", 0, CHUNK_LINE_BYTES_MAX)
            if end < 0:
                if len(incoming) >= CHUNK_LINE_BYTES_MAX:
                    raise bad_request("not a chunk")
                return False
            line = bytes(incoming[:end])
            del incoming[: end + 2]
            if self._take_line(line):
                return True

    def _take_line(self, line: bytes) -> bool:
        """Take the line before a chunk, or one after the last; return whether it was the empty one."""
        if self._ends:
            if line:
                # Trailers say nothing to us; a few would do no harm, but nobody sends any.
                raise bad_request("no trailers are taken")
            return True
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise bad_request("not a chunk")
        count = int(found[1], 16)
        if len(self.body) + count > MESSAGE_BYTES_MAX:
            raise too_large()
        self._ends = count == 0
        self._missing = count + 2 if count else 0
        return False


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
    return status >= HTTPStatus.OK and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
