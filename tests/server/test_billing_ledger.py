"""Shows what operators do with the ledger over the wire: post, take back, list, balances, close."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sealcast.messages import operations_billing as desk
from sealcast.messages.bookkeeping import EntryRow, PostingRow
from server.newcomers import rows
from server.running import Reply, Running, running

EURO = 1_000_000


def postings(**amounts: int) -> list[PostingRow]:
    """Return postings, given amounts by account with `__` for the colon."""
    return [
        PostingRow(account=name.replace("__", ":"), amount_micro=amount) for name, amount in amounts.items()
    ]


async def post(server: Running, id_: str, euros: int = 1, **more: Any) -> Reply:
    """Ask for a payment of a subscriber to be recorded."""
    paid = postings(operator__cash=euros * EURO, subscriber__TV_1=-euros * EURO)
    fields = {"id": id_, "currency": "EUR", "postings": paid, **more}
    return await server.operator.ask(desk.LEDGER_POST, **fields)


async def reverse(server: Running, id_: str, corrects: str, **more: Any) -> Reply:
    """Ask for an entry to be taken back."""
    return await server.operator.ask(desk.LEDGER_REVERSE, id=id_, corrects=corrects, **more)


async def entries(server: Running, **more: Any) -> list[EntryRow]:
    """Return all entries, page by page."""
    found: list[EntryRow] = []
    while True:
        after = found[-1].number if found else 0
        page = await server.operator.must(desk.LEDGER_LIST, after=after, **more)
        found += page.entries
        if not page.more:
            return found


async def balances(server: Running, **more: Any) -> list[tuple[str, str, int]]:
    """Return all balances, page by page."""
    found: list[tuple[str, str, int]] = []
    after: str | None = ""
    while after is not None:
        page = await server.operator.must(desk.LEDGER_BALANCES, after=after, **more)
        found += [(row.account, row.currency, row.balance_micro) for row in page.balances]
        after = page.next
    return found


@pytest.fixture(scope="module")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what runs a story at a key server of its own and gives its folder."""

    def run(story: Callable[[Running], Coroutine[Any, Any, None]]) -> Path:
        folder = tmp_path_factory.mktemp("ledger")

        async def told() -> None:
            async with running(folder) as server:
                await story(server)

        asyncio.run(told())
        return folder

    return run


def test_post_and_take_back(tell: Callable[..., Path]) -> None:
    """An entry told twice is one, also without an instant; another one of its id is refused; all are kept."""

    async def story(server: Running) -> None:
        first = (await post(server, "p-1", 9, memo="by bank")).answer
        again = (await post(server, "p-1", 9, memo="by bank")).answer
        assert (first.is_new, again.is_new, first.entry) == (True, False, again.entry)
        other = await post(server, "p-1", 8, memo="by bank")
        assert (other.status, other.problem) == (409, "exists")
        back = (await reverse(server, "r-1", "p-1", memo="bounced")).answer
        assert (back.is_new, back.entry.corrects) == (True, "p-1")
        assert (await reverse(server, "r-1", "p-1", memo="bounced")).answer.entry == back.entry
        twice = await reverse(server, "r-2", "p-1")
        assert (twice.problem, "by r-1" in twice.detail) == ("exists", True)
        assert (await reverse(server, "r-1", "p-1", memo="another")).problem == "exists"
        assert (await reverse(server, "p-1", "r-1")).problem == "exists"
        assert (await reverse(server, "r-3", "r-1")).answer.is_new
        assert (await reverse(server, "r-4", "p-9")).problem == "unknown-entry"
        assert [row.id for row in await entries(server)] == ["p-1", "r-1", "r-3"]
        assert await balances(server) == [
            ("operator:cash", "EUR", 9 * EURO),
            ("subscriber:TV_1", "EUR", -9 * EURO),
        ]

    folder = tell(story)
    said = rows(folder, "SELECT what, subject FROM audit WHERE what LIKE 'ledger-%' ORDER BY id")
    assert said == [("ledger-post", "p-1"), ("ledger-reverse", "r-1"), ("ledger-reverse", "r-3")]


def test_what_is_not_posted(tell: Callable[..., Path]) -> None:
    """Absurd entries and those in the name of documents are refused with a line, and nothing is recorded."""
    far_ms = 2**47
    refused: list[tuple[dict[str, Any], str]] = [
        ({"postings": postings(a__b=1)}, "does not balance"),
        ({"postings": []}, "1 to 10000 postings"),
        ({"postings": postings(a__b=0)}, "nothing"),
        ({"postings": postings(a__b=10**19, c__d=-(10**19))}, ""),
        ({"postings": postings(A=1, b=-1)}, "not an account"),
        ({"currency": "EURO"}, "no currency"),
        ({"currency": "XAU"}, "no minor unit"),
        ({"postings": postings(operator__cash=EURO // 1000, a=-EURO // 1000)}, "whole coins"),
        ({"memo": "a\nb"}, "memo"),
        ({"memo": "m" * 501}, "memo"),
        ({"effective_ms": far_ms}, "a year ahead"),
        ({"effective_ms": -1}, ""),
        ({"effective_ms": 2**70}, ""),
    ]

    async def story(server: Running) -> None:
        for fields, why in refused:
            reply = await post(server, "p-1", **fields)
            assert (reply.status, reply.problem) == (400, "bad-request"), fields
            assert why in reply.detail
        for id_ in ("invoice-000001", "statement-000001", "", "a b", "x" * 129):
            assert (await post(server, id_)).problem == "bad-request"
            assert (await reverse(server, id_, "p-1")).problem in ("bad-request", "unknown-entry")
        assert "write a credit note" in (await reverse(server, "r-1", "invoice-000001")).detail
        assert "belongs to a statement" in (await reverse(server, "r-1", "statement-000001")).detail
        for fields in ({"account": "a b"}, {"after": -1}, {"after": 2**70}, {"limit": 0}, {"limit": 501}):
            assert (await server.operator.ask(desk.LEDGER_LIST, **fields)).problem == "bad-request"
        assert await entries(server) == []
        assert await balances(server) == []

    tell(story)


def test_closing_the_books(tell: Callable[..., Path]) -> None:
    """Before the closing nothing more is recorded, and it moves on only; a correction is of now."""

    async def story(server: Running) -> None:
        old = (await post(server, "old", effective_ms=1_000)).answer.entry
        close = desk.LEDGER_CLOSE
        await server.operator.must(close, until_ms=5_000)
        await server.operator.must(close, until_ms=5_000)
        assert (await server.operator.ask(close, until_ms=4_999)).problem == "period-closed"
        assert (await server.operator.ask(close, until_ms=2**46)).problem == "bad-request"
        assert (await post(server, "late", effective_ms=4_999)).problem == "period-closed"
        assert (await post(server, "in-time", effective_ms=5_000)).answer.is_new
        assert not (await post(server, "old", effective_ms=1_000)).answer.is_new
        back = (await reverse(server, "back", "old")).answer.entry
        assert back.effective_ms == back.recorded_at_ms > old.effective_ms
        asked = await server.operator.must(desk.LEDGER_BALANCES)
        assert asked.closed_until_ms == 5_000
        assert await balances(server, until_ms=5_000, prefix="operator") == [("operator:cash", "EUR", EURO)]
        assert await balances(server, until_ms=1_000) == []

    folder = tell(story)
    assert rows(folder, "SELECT subject FROM audit WHERE what = 'ledger-close'") == [("5000",)]


def test_pages(tell: Callable[..., Path]) -> None:
    """Entries and balances come in pages, however long their rows are; none is left out or told twice."""

    async def story(server: Running) -> None:
        long = "%2F" * 128
        for number in range(7):
            names = [f"subscriber:{long}:{number}.{place}" for place in range(120)]
            paid = [PostingRow(account=name, amount_micro=1) for name in names]
            paid.append(PostingRow(account="operator:income", amount_micro=-len(paid)))
            for currency in ("EUR", "JPY"):
                answer = await post(server, f"{currency}-{number}", currency=currency, postings=paid)
                assert answer.status == 200, answer.detail
        assert [row.number for row in await entries(server)] == list(range(1, 15))
        assert [row.number for row in await entries(server, limit=3)] == list(range(1, 15))
        found = await entries(server, account=f"subscriber:{long}:3.5", limit=1)
        assert [row.id for row in found] == ["EUR-3", "JPY-3"]
        page = await server.operator.must(desk.LEDGER_BALANCES)
        assert page.next == page.balances[-1].account
        everything = await balances(server)
        assert len(set(everything)) == len(everything) == 2 * (7 * 120 + 1)
        assert everything == sorted(everything)
        assert await balances(server, limit=100) == everything
        assert len(await balances(server, prefix=f"subscriber:{long}:3.")) == 240
        assert await balances(server, prefix="operator:income") == everything[:2]
        assert await balances(server, prefix="z" * 10_000) == []
        # Pages on which no account has anything yet are empty and lead on.
        assert await balances(server, until_ms=1, limit=100) == []

    tell(story)


def test_two_operators_tell_one_payment(tell: Callable[..., Path]) -> None:
    """Posted by many at the same time under one id, a payment is recorded once and everybody hears which."""

    async def story(server: Running) -> None:
        second = await server.register("second", "operator")
        both = (server.operator, second)
        callers = [server.caller(both[number % 2].credential) for number in range(10)]
        paid = postings(operator__cash=EURO, subscriber__TV_1=-EURO)
        replies = await asyncio.gather(
            *(
                caller.ask(desk.LEDGER_POST, id="p-1", currency="EUR", postings=paid, memo=f"{number // 5}")
                for number, caller in enumerate(callers)
            )
        )
        kept = [reply.answer for reply in replies if reply.status == 200]
        assert [reply.problem for reply in replies].count("exists") == len(kept) == 5
        assert sum(answer.is_new for answer in kept) == 1
        assert {answer.entry.number for answer in kept} == {1}
        assert (await balances(server))[0] == ("operator:cash", "EUR", EURO)

    tell(story)
