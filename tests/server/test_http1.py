"""Shows what is read as HTTP/1.1: requests as clients send them, and nothing that has two meanings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import RefusedError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.server.http1 import (
    AROUND_BYTES_MAX,
    FIELDS_MAX,
    Request,
    Requests,
    answer_head,
    split,
    status_line,
)

HOST = b"\r\nHost: keys.example"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = [
    (b"POST /v1/keys HTTP/2.0" + HOST, 400),
    (b"POST /v1/keys" + HOST, 400),
    (b"PO ST /v1/keys HTTP/1.1" + HOST, 400),
    (b"GET / HTTP/1.1", 400),
    (b"GET / HTTP/1.1" + HOST + HOST, 400),
    (b"GET / HTTP/1.1" + HOST + b"\r\nA : b", 400),
    (b"GET / HTTP/1.1" + HOST + b"\r\n goes-on: b", 400),
    (b"GET / HTTP/1.1" + HOST + b"\r\nA: b\nContent-Length: 1", 400),
    (b"GET / HTTP/1.1" + HOST + b"\r\nA: b\rc", 400),
    (b"GET / HTTP/1.1" + HOST + b"\r\n: b", 400),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: 1\r\nContent-Length: 1", 400),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: 1, 1", 400),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: +1", 400),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
    (b"POST / HTTP/1.1" + HOST + b"\r\nTransfer-Encoding: gzip, chunked", 501),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: %d" % (MESSAGE_BYTES_MAX + 1), 413),
    (b"POST / HTTP/1.1" + HOST + b"\r\nContent-Length: " + b"0" * 5_000 + b"1", 413),
    (b"GET / HTTP/1.1" + HOST + b"\r\nA: b" * FIELDS_MAX, 431),
]


def read(head: bytes) -> Request:
    """Return the request that has this head, and no body."""
    requests = Requests()
    requests.take(head + b"\r\n\r\n")
    (request,) = requests.waiting
    return request


def test_a_request_as_clients_send_it() -> None:
    """Method, path, question and fields are told apart; names are lower-case, values without spaces."""
    requests = Requests()
    requests.take(
        b"POST /v1/a%20b%2Fc?x=1?&y HTTP/1.1\r\nHOST: h\r\ncontent-LENGTH:  12 \r\nA:\r\nB: \xe9 c\t\r\n\r\n"
    )
    assert (requests.is_in_body, requests.awaits_continue, len(requests.waiting)) == (True, False, 0)
    requests.take(b"twelve bytesGET")
    request = requests.waiting.popleft()
    assert (requests.is_begun, requests.is_in_body) == (True, False)
    assert (request.method, request.path, *split(request.target)) == (
        "POST",
        "/v1/a b/c",
        b"/v1/a%20b%2Fc",
        b"x=1?&y",
    )
    assert request.fields == [(b"host", b"h"), (b"content-length", b"12"), (b"a", b""), (b"b", b"\xe9 c")]
    assert (request.body, request.is_kept) == (b"twelve bytes", True)


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: h", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c", False),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1", False),
    ],
)
def test_which_connections_go_on(lines: bytes, is_kept: bool) -> None:  # noqa: FBT001 - a table's column
    """A connection is kept unless the client says otherwise, is of an older kind, or wants something else."""
    assert read(lines).is_kept is is_kept


def test_a_whole_address_for_a_path() -> None:
    """What goes to a proxy may come here as well: the path is what stands behind the host."""
    assert read(b"GET https://h:1/healthz?a HTTP/1.1\r\nHost: h").path == "/healthz"
    assert read(b"GET http://h HTTP/1.1\r\nHost: h").path == "/"


@pytest.mark.parametrize(("data", "status"), BROKEN)
def test_what_is_ambiguous_is_refused(data: bytes, status: int) -> None:
    """Nothing that two readers could take for two requests is taken for one, and nothing is too large."""
    with pytest.raises(RefusedError) as refused:
        read(data)
    assert refused.value.status == status


@given(
    st.lists(st.binary(max_size=100), max_size=4), st.sampled_from([b"", b"POST / HTTP/1.1\r\nHost: h\r\n"])
)
def test_anything_is_read_or_refused(pieces: list[bytes], begin: bytes) -> None:
    """Whatever comes gives requests within their bounds, or one of our errors, once."""
    requests, refused = Requests(), 0
    for piece in (begin, *pieces):
        try:
            requests.take(piece)
        except RefusedError:
            refused += 1
    assert refused <= 1
    assert all(len(request.body) <= MESSAGE_BYTES_MAX for request in requests.waiting)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 9))
def test_chunks_in_pieces(parts: list[bytes], size: int) -> None:
    """Chunks give the body that was cut up, in pieces of any size, and leave what follows."""
    sent = CHUNKED + b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    requests = Requests()
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    for piece in pieces[:-1]:
        requests.take(piece)
        assert not requests.waiting
    requests.take(pieces[-1] + b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
    first, second = requests.waiting
    assert (first.body, second.path) == (b"".join(parts), "/next")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"x\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"-1\r\n", 400),
        (b"0\r\nTrailer: a\r\n\r\n", 400),
        (b"1" * 300, 400),
        (b"%x\r\n" % (MESSAGE_BYTES_MAX + 1) + b"x" * (MESSAGE_BYTES_MAX + 1), 413),
    ],
)
def test_what_are_no_chunks(sent: bytes, status: int) -> None:
    """A length that is none, a chunk that is longer than it says, trailers and too much are refused."""
    with pytest.raises(RefusedError) as refused:
        Requests().take(CHUNKED + sent)
    assert refused.value.status == status


@pytest.mark.parametrize("begin", [b"1;", b"0\r\n"])
def test_what_surrounds_a_body_has_an_end(begin: bytes) -> None:
    """What stands behind a chunk's length, or behind all chunks, is refused before it fills the memory."""
    requests = Requests()
    requests.take(CHUNKED + begin)
    for _ in range(AROUND_BYTES_MAX // 1_000):
        requests.take(b"a" * 1_000)
    with pytest.raises(RefusedError, match="too much"):
        requests.take(b"a" * 1_000)


def test_a_head_behind_other_requests() -> None:
    """How long a head may be does not depend on what came in one piece with its beginning."""
    requests, sent = (
        Requests(),
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 16300\r\n\r\n" + b"x" * 16_300,
    )
    for piece in (sent + b"GET / HT", b"TP/1.1\r\nHo", b"st: h\r\n\r\n"):
        requests.take(piece)
    assert [request.method for request in requests.waiting] == ["POST", "GET"]


def test_nothing_is_kept_of_a_request_that_is_whole() -> None:
    """A connection that is idle holds none of what came before."""
    requests = Requests()
    requests.take(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9_000)
    assert len(requests.waiting.popleft().body) == 9_000
    assert (requests._parts, requests._fields, requests._target) == ([], [], b"")


def test_whom_nobody_tells_to_go_on() -> None:
    """A client of HTTP/1.0 would take that word for the answer."""
    requests = Requests()
    requests.take(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert (requests.is_in_body, requests.awaits_continue) == (True, False)


def test_the_head_of_an_answer() -> None:
    """It says the status, the kind and the fields; length, date and the end are the connection's."""
    assert answer_head(200, "text/plain", ("Retry-After", "9")) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nretry-after: 9\r\n"
    )
    assert status_line(799) == b"HTTP/1.1 799 Unknown\r\n"
