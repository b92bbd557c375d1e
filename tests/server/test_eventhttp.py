"""Shows the HTTP of event streams: what is a request, what is not, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError, RefusedError
from sealcast.server.eventhttp import BODY_BYTES_MAX, HEAD_BYTES_MAX, Head, answer, parse_head, stream_head

PATH = "/v1/events"
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: keys.example\r\ncontent-LENGTH: 12 \r\n\r\n"

BROKEN = [
    (b"POST /v1/events HTTP/1.0\r\nContent-Length: 1\r\n\r\n", FormatError),
    (b"POST  /v1/events HTTP/1.1\r\nContent-Length: 1\r\n\r\n", FormatError),
    (b"POST /v1/events HTTP/1.1\r\nContent-Length : 1\r\n\r\n", FormatError),
    (b"POST /v1/events HTTP/1.1\r\n Content-Length: 1\r\n\r\n", FormatError),
    (b"POST /v1/events HTTP/1.1\r\nX: a\nContent-Length: 1\r\n\r\n", FormatError),
    (b"POST /v1/events HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", FormatError),
    (b"POST /v1/events HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", RefusedError),
    (b"PRI * HTTP/2.0\r\n\r\n", FormatError),
    (b"\r\n\r\n", FormatError),
    (b"x" * HEAD_BYTES_MAX, RefusedError),
]


def test_a_head_in_pieces() -> None:
    """Up to its last byte a head is not whole; then it is the same, whatever follows."""
    for count in range(len(HEAD)):
        assert parse_head(HEAD[:count], PATH) is None
    assert parse_head(HEAD, PATH) == Head(len(HEAD), 12)
    assert parse_head(bytearray(HEAD + b"\x00" * 100), PATH) == Head(len(HEAD), 12)


@pytest.mark.parametrize(("data", "error"), BROKEN)
def test_what_is_ambiguous_is_refused(data: bytes, error: type[Exception]) -> None:
    """Nothing that two readers could take for two requests is taken for one."""
    with pytest.raises(error):
        parse_head(data, PATH)


@given(st.binary(max_size=300), st.sampled_from([b"", b"POST /v1/events HTTP/1.1\r\nContent-Length: 1\r\n"]))
def test_anything_is_read_or_refused(data: bytes, begin: bytes) -> None:
    """Whatever comes gives a head within its bounds, nothing yet, or one of our errors."""
    data = begin + data + b"\r\n\r\n"
    try:
        head = parse_head(data, PATH)
    except (FormatError, RefusedError):
        return
    assert head is None or (0 < head.body_at <= len(data) and 0 <= head.body_bytes <= BODY_BYTES_MAX)


def test_answers_have_a_length_and_streams_none() -> None:
    """An answer says how long it is; a stream says that it ends with the connection."""
    assert answer(503, "text/plain", {"Retry-After": "9"}, b"no") == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 9\r\n"
        b"Content-Length: 2\r\n\r\nno"
    )
    assert stream_head({"A": "b"}) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nA: b\r\nCache-Control: no-store\r\n"
        b"Connection: close\r\n\r\n"
    )
