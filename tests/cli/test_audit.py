"""Shows how an operator reads the log of who did what, and that nobody can change it."""

import json
import sqlite3

import pytest

from cli.terminal import Terminal, Typist


def test_audit_tells_who_did_what(operator: Terminal, type_at: Typist) -> None:
    """Deeds stand in their order, can be chosen by caller, name, subject and time; JSON has one a line."""
    type_at(operator, "channel", "add", "audited", "--group", "239.255.9.21:5004")
    type_at(operator, "registry", "add", "tv-audited", "--output", "tv-audited.vault")
    type_at(operator, "subscriber", "add", "audited", "tv-audited")
    type_at(operator, "subscriber", "remove", "audited", "tv-audited")
    lines = type_at(operator, "audit", "--subject", "audited").out.splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["operator", "channel-add", "audited"],
        ["operator", "subscriber-add", "audited", "tv-audited"],
        ["operator", "subscriber-remove", "audited", "tv-audited"],
    ]
    out = type_at(operator, "audit", "--what", "subscriber-", "--subject", "tv-audited", "--json").out
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["what"] for row in rows] == ["subscriber-add", "subscriber-remove"]
    assert rows[0]["number"] < rows[1]["number"]
    last = type_at(operator, "audit", "--subject", "audited", "--limit", "1").out
    assert last.split()[2] == "subscriber-remove"
    none = type_at(operator, "audit", "--who", "nobody")
    assert (none.status, none.out) == (0, "")
    assert "nothing of that is in the log" in none.err
    assert type_at(operator, "audit", "--until", "2001-01-01").out == ""


def test_audit_pages(operator: Terminal, type_at: Typist) -> None:
    """More rows than one answer holds come page by page, none twice and none left out."""
    whole = type_at(operator, "audit", "--limit", "100000", "--json").out.splitlines()
    numbers = [json.loads(line)["number"] for line in whole]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1


def test_audit_is_for_operators(operator: Terminal, type_at: Typist) -> None:
    """An instant without a zone is refused with a line that says what to write."""
    refused = type_at(operator, "audit", "--since", "2026-03-01T10:00")
    assert refused.status == 2
    assert "names no time zone" in refused.complaint


def test_audit_follows(operator: Terminal, type_at: Typist) -> None:
    """With --follow what is done from then on is told as it happens, and Ctrl-C ends it."""
    with operator.running("audit", "--follow", "--limit", "1", "--what", "channel-add", "--json") as process:
        type_at(operator, "channel", "add", "followed", "--group", "239.255.9.22:5004")
        assert process.stdout is not None
        told = (json.loads(line)["subject"] for line in process.stdout)
        assert "followed" in told


def test_the_log_cannot_be_changed(operator: Terminal, type_at: Typist) -> None:
    """Whoever has the database file cannot change or delete a row by way of SQL."""
    type_at(operator, "audit")
    path = next(operator.folder.rglob("keyserver.sqlite"))
    with sqlite3.connect(path) as database:
        for statement in ("DELETE FROM audit", "UPDATE audit SET who = 'somebody'"):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                database.execute(statement)
