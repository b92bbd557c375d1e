"""Owns the little HTTP/1.1 (RFC 9112) that event streams need: one request with a length, one answer.

```
POST /v1/events HTTP/1.1 ‖ headers with Content-Length ‖ body: a signed EventsRequest
200, text/event-stream, Connection: close ‖ lines until one side closes
```
A no has a length and leaves the connection open, so that a caller without a fresh nonce asks again over it.
"""

import re
from dataclasses import dataclass

from sealcast.core.errors import FormatError, RefusedError
from sealcast.messages.problems import MEDIA_TYPE_PROBLEM

HEAD_BYTES_MAX = 8 * 1024
"""A client of ours sends 300 bytes of headers."""

BODY_BYTES_MAX = 16 * 1024
"""A request for 64 channels by their longest names has 6 kB; signed, 9."""

MEDIA_TYPE_EVENTS = "text/event-stream"
_END_OF_HEAD = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]{0,255}) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head: its body begins at `body_at` and has `body_bytes`."""

    body_at: int
    body_bytes: int


def parse_head(data: bytes | bytearray, path: str) -> Head | None:
    """Read a request to `path` from what has come so far; None while its head is not whole.

    Raises RefusedError with the HTTP status for a request that is not for us, FormatError for what is no
    request at all.
    """
    end = data.find(_END_OF_HEAD, 0, HEAD_BYTES_MAX)
    if end < 0:
        if len(data) >= HEAD_BYTES_MAX:
            raise _refused(431, "the headers are too long")
        return None
    first, *lines = bytes(data[:end]).split(b"\r\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise FormatError("not a request of HTTP/1.1")
    fields = _fields(lines)
    if asked[2].decode("ascii") != path:
        raise _refused(404, f"there is nothing but {path} here")
    if asked[1] != b"POST":
        raise _refused(405, f"{path} takes POST")
    return Head(end + len(_END_OF_HEAD), _body_bytes(fields))


def answer(status: int, media_type: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return a whole answer."""
    return _head(status, media_type, {**headers, "Content-Length": str(len(body))}) + body


def stream_head(headers: dict[str, str]) -> bytes:
    """Return the head of an event stream, which goes on until the connection ends."""
    return _head(200, MEDIA_TYPE_EVENTS, {**headers, "Cache-Control": "no-store", "Connection": "close"})


def refusal_bytes(no: RefusedError, problem: bytes) -> bytes:
    """Return a no after which the connection closes."""
    return answer(no.status, MEDIA_TYPE_PROBLEM, {"Connection": "close"}, problem)


def _head(status: int, media_type: str, headers: dict[str, str]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reason = _REASONS.get(status, "Unknown")
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {media_type}\r\n{fields}\r\n".encode("latin-1")


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Return the header fields by lower-case name; raises FormatError for a broken or doubled one."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise FormatError("not a header field of HTTP/1.1")
        name = field[1].lower()
        if name in fields and name in {b"content-length", b"transfer-encoding", b"host"}:
            raise FormatError("a header field stands there twice")
        fields[name] = field[2].strip()
    return fields


def _body_bytes(fields: dict[bytes, bytes]) -> int:
    length = fields.get(b"content-length")
    if length is None or b"transfer-encoding" in fields:
        raise _refused(411, "say the length of the body in Content-Length")
    if not _LENGTH.fullmatch(length):
        raise FormatError("not a Content-Length")
    if int(length) > BODY_BYTES_MAX:
        raise _refused(413, f"a request here has at most {BODY_BYTES_MAX} bytes")
    return int(length)


def _refused(status: int, detail: str) -> RefusedError:
    return RefusedError("about:blank", detail, status)
