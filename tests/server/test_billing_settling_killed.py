"""Settlement killed at any moment: run again, each statement is there once, with its entry of the ledger."""

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sealcast.billing import store_statements
from sealcast.ledger import store as ledger
from sealcast.messages import operations_billing as operations
from server.settling import Books, at, net, terms

NOW = "2026-05-01T00:00+02:00"
READS = ("SELECT", "PRAGMA", "BEGIN", "SAVEPOINT")
STEPS_MIN = 24
"""Six statements with an entry and two postings each; fewer would mean that something is not counted."""


def prepare(folder: Path) -> Books:
    """Return books in which three broadcasters wait for statements of two months."""
    books = Books(folder, "2026-03-01T00:00+01:00")
    books.add_channel("news")
    for name in ("one", "two", "three"):
        books.ask(operations.CONTRACT_ADD, terms=terms(name, share_parts=1, share_of=3))
    books.bill("2026-03-10T00:00+01:00", net(1, 10_000))
    books.bill("2026-04-10T00:00+02:00", net(1, 500))
    books.be(NOW)
    return books


def look(books: Books) -> Any:
    """Return all that settlement wrote, checked: numbers without gap, entries equal, nothing left over."""
    statements = books.rows(
        "SELECT number, broadcaster, start_ms, amount_micro, document FROM statements ORDER BY number"
    )
    assert [row[0] for row in statements] == list(range(1, len(statements) + 1))
    assert len({row[1:3] for row in statements}) == len(statements)
    entries = books.rows(
        "SELECT e.id, p.account, p.amount_micro FROM ledger_entries e JOIN ledger_postings p"
        " ON p.entry = e.number AND p.account <> 'operator:income' ORDER BY e.number"
    )
    assert entries == [(f"statement-{row[0]:06}", f"broadcaster:{row[1]}", -row[3]) for row in statements]
    assert books.rows("SELECT coalesce(sum(amount_micro), 0) FROM ledger_postings") == [(0,)]
    audited = books.rows("SELECT subject FROM audit WHERE what = 'statement-issue' ORDER BY id")
    assert [row[0][-6:] for row in audited[-1:]] == [f"{len(statements):06}"][: len(statements)]
    return [(*row[:4], json.loads(row[4])) for row in statements]


def content(folder: Path) -> bytes:
    """Return what tells one photograph from another; what is only in memory is on none."""
    files = sorted(path for path in folder.iterdir() if not path.name.endswith("-shm"))
    return b"".join(path.read_bytes() for path in files)


def settle_all(books: Books, limit: int) -> None:
    """Settle until nothing is left."""
    for _ in range(10):
        if not books.ask(operations.SETTLE, limit=limit).more:
            return


@pytest.mark.parametrize("limit", [2, 100])
def test_photographed_before_every_write(tmp_path: Path, limit: int) -> None:
    """From what lies on the disk before any write of settlement, settling again ends as without the death."""
    site, album = tmp_path / "site", tmp_path / "album"
    site.mkdir()
    books = prepare(site)
    number = count()

    def photograph(text: str) -> None:
        if not text.startswith(READS):
            shutil.copytree(site, album / f"{next(number):03}")

    books.work._driver.set_trace_callback(photograph)
    settle_all(books, limit)
    books.work._driver.set_trace_callback(None)
    whole = look(books)
    books.close()
    assert len(whole) == 6
    photographs = sorted(album.iterdir())
    assert len(photographs) >= STEPS_MIN
    states: dict[int, Any] = {}
    for folder in {content(folder): folder for folder in photographs}.values():
        left = Books(folder, NOW)
        issued = len(look(left))
        if issued not in states:
            settle_all(left, 100)
            states[issued] = look(left)
        left.close()
    # A request's statements are one unit of work: all of them are there, or none.
    assert set(states) == ({0, 2, 4} if limit == 2 else {0})
    assert all(after == whole for after in states.values())


def test_a_unit_that_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between statements and their entries leaves none of them; the next request issues each once."""
    books = prepare(tmp_path)

    def fails(*_: Any) -> None:
        assert store_statements.last(_[0]) == (6, at(NOW))
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_new", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            books.ask(operations.SETTLE)
        assert look(books) == []
    settle_all(books, 100)
    assert len(look(books)) == 6
    books.close()
