"""Shows that what a key server sends of a document is checked, and how closing page by page is told."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from billing import bills
from client.small_server import Authority, OsRandom, SmallServer
from sealcast.cli.acting import Operator
from sealcast.cli.billing import invoicing
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError, SealcastError
from sealcast.device.vault import Credential
from sealcast.messages import jwk, operations, problems
from sealcast.messages.encoding import encode
from sealcast.messages.invoicing import (
    DOCUMENT_CHUNK_BYTES,
    CloseAnswer,
    CloseRequest,
    DocumentAnswer,
    DocumentRequest,
    InvoiceRow,
    WaitingRow,
)
from sealcast.messages.requests import Request

RANDOM = OsRandom()
START_S_MAX = 10


class StandIn(SmallServer):
    """A key server that answers as a test says."""

    tell: Callable[[Request], msgspec.Struct]

    def answer(self, _: operations.Operation, asked: Request) -> web.Response:
        """Return what the test wants said."""
        try:
            return self.reply(encode(self.tell(asked)), problems.MEDIA_TYPE_JSON)
        except RefusedError as no:
            return self.refuse(no.type, no.detail)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Return a stand-in that serves from a thread of its own."""
    authority, server_key = Authority("operator CA"), jwk.new_signing_pair(RANDOM)
    credential = Credential(
        role="operator",
        id="admin",
        operator="op",
        signing=jwk.new_signing_pair(RANDOM),
        kek=jwk.new_sealing_pair(RANDOM),
        ca_pem=authority.pem,
        servers=[],
        server_key=server_key.public(),
        server_kek=jwk.new_sealing_pair(RANDOM).public(),
    )
    server = StandIn(authority.server_context(tmp_path_factory.mktemp("tls")), server_key, credential)
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await over.wait()

    over = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(START_S_MAX)
    yield server
    loop.call_soon_threadsafe(over.set)
    thread.join(START_S_MAX)
    loop.close()


@pytest.fixture
def operator(stand_in: StandIn) -> Operator:
    """Return who asks the stand-in."""
    return Operator(replace(stand_in.credential, servers=[stand_in.url]), lambda _: None)


def tell_document(
    data: bytes, *, size: int | None = None, sha256: str | None = None
) -> Callable[[Request], DocumentAnswer]:
    """Return what answers with pieces of a document."""
    told = sha256 or hashlib.sha256(data).hexdigest()

    def tell(asked: Request) -> DocumentAnswer:
        assert isinstance(asked, DocumentRequest)
        piece = data[asked.offset : asked.offset + DOCUMENT_CHUNK_BYTES]
        return DocumentAnswer(piece=piece, size=len(data) if size is None else size, sha256=told)

    return tell


def test_a_document_in_pieces(stand_in: StandIn, operator: Operator) -> None:
    """A long document comes in pieces and is whole."""
    lines = [replace(bills.invoice().lines[0], line=n) for n in range(1_000)]
    data = encode(replace(bills.invoice(), lines=lines))
    assert len(data) > 3 * DOCUMENT_CHUNK_BYTES
    stand_in.tell = tell_document(data)
    assert invoicing.document(operator, 123) == data


GOOD = encode(bills.invoice())


@pytest.mark.parametrize(
    ("tell", "number", "error"),
    [
        (tell_document(GOOD, sha256="0" * 64), 123, AuthenticationError),
        (tell_document(GOOD, size=len(GOOD) + 1), 123, AuthenticationError),
        (tell_document(GOOD, size=len(GOOD) - 1), 123, AuthenticationError),
        (tell_document(b"", size=5), 123, AuthenticationError),
        (tell_document(GOOD, size=1 << 60), 123, AuthenticationError),
        (tell_document(GOOD), 124, FormatError),
        (tell_document(GOOD.replace(b'":', b'": ', 1)), 123, FormatError),
        (tell_document(b"no invoice"), 123, FormatError),
    ],
    ids=["digest", "longer", "shorter", "empty", "endless", "another", "rewritten", "nothing"],
)
def test_what_is_not_on_record(
    stand_in: StandIn,
    operator: Operator,
    tell: Callable[[Request], DocumentAnswer],
    number: int,
    error: type[SealcastError],
) -> None:
    """A document that was changed, cut off, exchanged or written anew is refused."""
    stand_in.tell = tell
    with pytest.raises(error):
        invoicing.document(operator, number)


def row(number: int, code: str = "EUR", decimals: int = 2, total: int = 1189) -> InvoiceRow:
    """Return an invoice in a list."""
    return InvoiceRow(
        number=number,
        kind="invoice",
        customer=f"C-{number}",
        currency=code,
        decimals=decimals,
        issued_at_ms=0,
        total_minor=total,
    )


def test_closing_goes_page_by_page(stand_in: StandIn, operator: Operator) -> None:
    """All pages are asked for, each behind the one before, and summed up by currency."""
    afters: list[str] = []

    def tell(asked: Request) -> CloseAnswer:
        assert isinstance(asked, CloseRequest)
        afters.append(asked.after)
        page = len(afters)
        code, decimals = ("JPY", 0) if page == 2 else ("EUR", 2)
        return CloseAnswer(
            issued=[row(page, code, decimals)],
            waiting=[WaitingRow(customer=f"W-{page}", why="epoch 4 of news is on air")],
            customers=50,
            of=150,
            next=f"C-{page}" if page < 3 else None,
        )

    stand_in.tell = tell
    closed = invoicing.close_all(operator, None)
    assert afters == ["", "C-1", "C-2"]
    assert [each.number for each in closed.issued] == [1, 2, 3]
    assert (len(closed.waiting), closed.customers) == (3, 150)
    assert invoicing.totals(closed.issued) == {"EUR": "23.78", "JPY": "1189"}


def test_closing_that_breaks_off(
    stand_in: StandIn, operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the key server says no in the middle, or goes in circles, what was issued before is told."""

    def tell(asked: Request) -> CloseAnswer:
        assert isinstance(asked, CloseRequest)
        if asked.after:
            raise RefusedError("bad-request", "enough")
        return CloseAnswer(issued=[row(1), row(2)], waiting=[], customers=2, of=9, next="C-2")

    stand_in.tell = tell
    with pytest.raises(RefusedError, match="enough"):
        invoicing.close_all(operator, None)
    assert capsys.readouterr().err == "sealcast: 2 invoices were issued before; type it again\n"
    stand_in.tell = lambda _: CloseAnswer(issued=[], waiting=[], customers=1, of=9, next="C-2")
    with pytest.raises(FormatError, match="went back"):
        invoicing.close_all(operator, None)


def test_who_waits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ten who wait are told one by one, of the others how many; that some wait is no failure."""
    from sealcast.cli import acting  # noqa: PLC0415 - replaced below

    waiting = [WaitingRow(customer=f"TV-{n:02}", why="epoch 4 of news is on air") for n in range(12)]
    monkeypatch.setattr(acting, "operator", lambda _: None)
    monkeypatch.setattr(invoicing, "close_all", lambda *_: invoicing.Closed([row(7)], waiting, 13))
    from sealcast.cli.main import run  # noqa: PLC0415 - after the replacements

    assert run(["billing", "invoice", "close"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "invoice 000007 is issued, over 11.89 EUR",
        "TV-00 waits: epoch 4 of news is on air",
    ]
    assert (len(lines), lines[-1]) == (12, "and 2 more wait")
    assert not list(tmp_path.iterdir())
