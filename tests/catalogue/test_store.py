"""Shows that the content catalogue keeps what was added, once, and refuses what is not its own file."""

import sqlite3
from pathlib import Path

import pytest

from sealcast.catalogue.store import Catalogue, Content
from sealcast.core.errors import UsageError

FILM = Content("film-7", "The Film", "/srv/film.ts", "cinema", None, 1_316, 1_000)
DATA = Content("image", "An image", "/srv/image.tar", None, "5M", 10, 2_000)


def test_kept_over_a_restart(tmp_path: Path) -> None:
    """Items are there after the file was closed, by id, and by channel."""
    with Catalogue(tmp_path / "content.sqlite") as catalogue:
        catalogue.add(DATA)
        catalogue.add(FILM)
    with Catalogue(tmp_path / "content.sqlite") as catalogue:
        assert catalogue.all() == [FILM, DATA]
        assert catalogue.all("cinema") == [FILM]
        assert catalogue.find("image") == DATA


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    """A second item of the same id is refused and changes nothing; removed, the id is free."""
    with Catalogue(tmp_path / "content.sqlite") as catalogue:
        catalogue.add(FILM)
        with pytest.raises(UsageError, match="film-7 already"):
            catalogue.add(Content("film-7", "Another", "/x", None, None, 1, 1))
        assert catalogue.all() == [FILM]
        catalogue.remove("film-7")
        with pytest.raises(UsageError, match="no content 'film-7'"):
            catalogue.find("film-7")
        with pytest.raises(UsageError, match="no content 'film-7'"):
            catalogue.remove("film-7")


@pytest.mark.parametrize("id_", ["", "two words", "x" * 129, "a\nb"])
def test_no_such_id(tmp_path: Path, id_: str) -> None:
    """An id is short, printable and one word."""
    with Catalogue(tmp_path / "content.sqlite") as catalogue:
        with pytest.raises(UsageError, match="printable"):
            catalogue.add(Content(id_, "", "/x", None, None, 1, 1))
        assert catalogue.all() == []


def test_another_programs_file(tmp_path: Path) -> None:
    """A database of another program, a later version and what is no database are left as they are."""
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    text = tmp_path / "text"
    text.write_bytes(b"not a database at all, but long enough to be looked at" * 10)
    for path in (other, text):
        before = path.read_bytes()
        with pytest.raises(UsageError, match="not a content catalogue"):
            Catalogue(path)
        assert path.read_bytes() == before
