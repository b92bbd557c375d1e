"""Shows what is on the disk at each instant of a transaction of the ledger, in a file of SQLite."""

import shutil
from pathlib import Path

import sqlalchemy as sa

from sealcast.ledger import reading, store
from sealcast.ledger.entries import Entry, Posting, reverse
from sealcast.storage.engine import open_engine


def test_killed_between_two_entries(engine: sa.Engine, tmp_path: Path) -> None:
    """What is on the disk at each instant of a transaction is all that was before it, and none of it."""
    paid = Entry("e-1", "EUR", 5, (Posting("a", 1), Posting("b", -1)))
    pictures: list[Path] = []

    def photograph() -> None:
        folder = tmp_path / f"{len(pictures)}"
        folder.mkdir()
        for file in tmp_path.glob("test.sqlite*"):
            shutil.copyfile(file, folder / file.name)
        pictures.append(folder / "test.sqlite")

    with engine.begin() as connection:
        store.record(connection, paid, 0)
    with engine.begin() as connection:
        photograph()
        store.record(connection, reverse(paid, "r-1", 6, ""), 0)
        photograph()
        store.record(connection, Entry("e-2", "EUR", 5, paid.postings), 0)
        photograph()
    photograph()
    found = []
    for picture in pictures:
        again = open_engine(picture)
        with again.connect() as connection:
            found.append([row.id for row in reading.page(connection, None, 0, 9)])
        again.dispose()
    assert found == [["e-1"]] * 3 + [["e-1", "r-1", "e-2"]]
