"""Shows how an operator looks after the database: backup beside the server, restoring, a move."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist, new_operator
from lab.postgres import Postgres, postgres
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import latest_revision
from storage.stock import FIRST, fill_first

NO_KEY = "without it no key in a backup opens"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Give a private PostgreSQL."""
    with postgres() as running:
        yield running


def test_backup_beside_the_server(operator: Terminal, type_at: Typist) -> None:
    """A running server's database is backed up; the file is private, and nothing is written over."""
    type_at(operator, "channel", "add", "kept", "--group", "239.255.9.31:5004")
    shown = json.loads(type_at(operator, "db", "show", "--json").out)
    assert (shown["kind"], shown["schema"]) == ("sqlite", latest_revision())
    assert shown["rows"]["channels"] >= 1
    assert "the newest that this program knows" in type_at(operator, "db", "show").out
    made = type_at(operator, "db", "backup", "all.backup")
    assert made.status == 0
    assert NO_KEY in made.out
    assert stat.S_IMODE((operator.folder / "all.backup").stat().st_mode) == 0o600
    again = type_at(operator, "db", "backup", "all.backup")
    assert (again.status, "exists" in again.complaint) == (2, True)
    refused = type_at(operator, "db", "restore", "all.backup")
    assert (refused.status, "exists" in refused.complaint) == (2, True)
    put = json.loads(type_at(operator, "db", "restore", "all.backup", "--db", "back.sqlite", "--json").out)
    told = json.loads(type_at(operator, "db", "show", "--db", "back.sqlite", "--json").out)
    assert (put["schema"], told["rows"]["channels"]) == (latest_revision(), shown["rows"]["channels"])
    assert told["rows"]["audit"] == shown["rows"]["audit"] + 1


def test_upgrade_makes_a_backup_first(tmp_path: Path, type_at: Typist) -> None:
    """An older database has a backup before it changes; one that is up to date is left alone."""
    terminal = Terminal(tmp_path)
    engine = open_engine(tmp_path / "old.sqlite")
    with engine.begin() as connection:
        fill_first(connection)
    engine.dispose()
    wanted = ("--db", "old.sqlite", "--state", ".")
    older = f"has schema {FIRST}, this program {latest_revision()}"
    assert older in type_at(terminal, "db", "show", *wanted).out
    done = type_at(terminal, "db", "upgrade", *wanted)
    assert done.status == 0, done.err
    assert NO_KEY in done.out
    shown = type_at(terminal, "db", "show", "--db", f"keyserver.{FIRST}.backup", "--json")
    assert shown.status == 0, shown.err
    kept = json.loads(shown.out)
    assert kept["schema"] == FIRST
    told = json.loads(type_at(terminal, "db", "upgrade", *wanted, "--json").out)
    assert (told["from"], told["backup"]) == (latest_revision(), None)
    absent = type_at(terminal, "db", "upgrade", "--db", "absent.sqlite")
    assert (absent.status, "there is no database" in absent.complaint) == (2, True)
    assert not (tmp_path / "absent.sqlite").exists()


def test_moving_to_postgresql(server: Postgres, tmp_path: Path) -> None:
    """What SQLite held, the same key server goes on with over PostgreSQL, by way of a backup."""
    terminal = new_operator(tmp_path)
    with terminal.key_server():
        terminal.good("channel", "add", "news", "--group", "239.255.9.32:5004")
        terminal.good("registry", "add", "tv-1", "--output", "tv-1.vault")
        terminal.good("subscriber", "add", "news", "tv-1")
        terminal.good("db", "backup", "moving.backup")
    url = server.create("moved")
    terminal.good("db", "restore", "moving.backup", "--db", url)
    taken = terminal.run("db", "restore", "moving.backup", "--db", url)
    assert (taken.status, "holds tables already" in taken.complaint) == (2, True)
    place = tmp_path / "sealcast.toml"
    text = place.read_text()
    assert "[keyserver]\n" in text
    place.write_text(text.replace("[keyserver]\n", f'[keyserver]\ndatabase = "{url}"\n'))
    with terminal.key_server():
        (row,) = json.loads(terminal.good("subscriber", "list", "--json"))["subscribers"]
        assert row["device"] == "tv-1"
        terminal.good("channel", "add", "sport", "--group", "239.255.9.33:5004")
        shown = json.loads(terminal.good("db", "show", "--json"))
        assert (shown["kind"], shown["rows"]["channels"]) == ("postgresql", 2)
        terminal.good("db", "backup", "postgresql.backup")
    kept = json.loads(terminal.good("db", "show", "--db", "postgresql.backup", "--json"))
    assert kept["rows"] == shown["rows"]


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    """One clear line, and status 3: unreachable."""
    terminal = new_operator(tmp_path)
    asked = terminal.run("db", "show", "--db", "postgresql://127.0.0.1:1/nothing")
    assert asked.status == 3
    assert "cannot use the PostgreSQL database nothing at 127.0.0.1" in asked.complaint
