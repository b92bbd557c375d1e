"""Shows invoices from subscription to file: closed, listed, shown in each form, credited, exported."""

import contextlib
import csv
import hashlib
import io
import json
import logging
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cli.terminal import COMMAND_S_MAX, Terminal, Typist, new_operator
from sealcast.cli.main import run

DEVICES = ("TV-0001", "TV-0002")
SETTLED_S = 1.2
"""A bill waits for a second after the end: then all of it is reported."""

HOSTILE = "=#panic() <script>alert(1)</script>"
INVOICE = ("billing", "invoice")


def typed(site: Terminal, *arguments: str) -> str:
    """Run a command in this process, as `type_at` does for a test; return what it printed."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.chdir(site.folder)
        for name, value in site.environment.items():
            patch.setenv(name, value)
        assert run(list(arguments)) == 0
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    return printed.getvalue()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return an operator's terminal; who leaves news pays 9.99 EUR for it, and 19 % tax on that.

    TV-0001 has left, and so has TV-0002, under a name that means harm.
    """
    terminal = new_operator(tmp_path_factory.mktemp("billing"))
    config = terminal.folder / "sealcast.toml"
    config.write_text(config.read_text() + '\n[billing]\ncycle = "closing"\nsettle_s = 1\n')
    with terminal.key_server():
        typed(terminal, "channel", "add", "news", "--group", "239.255.9.1:5004")
        price = ("--currency", "EUR", "--price", "Subscription: 9.99 per period", "--tax", "19")
        typed(terminal, "billing", "tariff", "add", "basic", *price, "--channel", "news")
        for device in DEVICES:
            typed(terminal, "registry", "add", device, "--channel", "news", "--output", f"{device}.vault")
        typed(terminal, "billing", "customer", "set", "TV-0002", "--name", HOSTILE)
        for device in DEVICES:
            typed(terminal, "subscriber", "remove", "news", device)
        yield terminal


@pytest.fixture(scope="module")
def closed(site: Terminal) -> str:
    """Close what is over and settled, and return what that printed."""
    time.sleep(SETTLED_S)
    return typed(site, *INVOICE, "close")


def test_close_and_list(site: Terminal, closed: str, type_at: Typist) -> None:
    """Closing issues one invoice for each who left, once; the list has them by number."""
    assert closed == "2 invoices are issued, 000001 to 000002, over 23.78 EUR\n"
    assert type_at(site, *INVOICE, "close").out == "no invoice is due: 2 customers looked at\n"
    told = json.loads(type_at(site, *INVOICE, "close", "--customer", "TV-0001", "--json").out)
    assert told == {"issued": [], "waiting": [], "totals": {}}
    table = type_at(site, *INVOICE, "list", "--limit", "2").out.splitlines()
    assert table[0].split() == ["NUMBER", "KIND", "CUSTOMER", "ISSUED", "TOTAL", "CORRECTS"]
    assert [row.split()[0:3] for row in table[1:]] == [
        ["000001", "invoice", "TV-0001"],
        ["000002", "invoice", "TV-0002"],
    ]
    assert table[1].split()[4:] == ["11.89", "EUR", "-"]
    page = json.loads(type_at(site, *INVOICE, "list", "--customer", "TV-0002", "--limit", "1", "--json").out)
    assert [row["number"] for row in page["invoices"]] == [2]
    page = json.loads(type_at(site, *INVOICE, "list", "--until", "2026-01-01T00:00+01:00", "--json").out)
    assert page == {"invoices": [], "more": False}


@pytest.mark.usefixtures("closed")
def test_show(site: Terminal, type_at: Typist) -> None:
    """On the screen an invoice has its lines with their workings, and the SHA-256 of its bytes."""
    shown = type_at(site, *INVOICE, "show", "000001").out
    assert shown.startswith("Invoice 000001 · Test TV\n")
    for text in ("TV-0001 · news", "Subscription", "9.99", "Tax 19 %", "1.90", "11.89"):
        assert text in shown
    data = type_at(site, *INVOICE, "show", "1", "--json").out.removesuffix("\n").encode()
    assert json.loads(data)["total_minor"] == 1189
    assert f"SHA-256 {hashlib.sha256(data).hexdigest()}" in shown


@pytest.mark.usefixtures("closed")
def test_reissue(site: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """Each form goes to a file by its ending, and issued again it is the same, byte for byte."""
    for ending in ("json", "csv", "html", "pdf"):
        first, second = tmp_path / f"first.{ending}", tmp_path / f"SECOND.{ending.upper()}"
        assert type_at(site, *INVOICE, "show", "2", "--output", str(first)).out == f"{first} is written\n"
        told = json.loads(type_at(site, *INVOICE, "show", "2", "--output", str(second), "--json").out)
        assert told == {"number": 2, "file": str(second)}
        assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*first*")) == [
        f"first.{ending}" for ending in ("csv", "html", "json", "pdf")
    ]
    assert (tmp_path / "first.pdf").read_bytes().startswith(b"%PDF")
    assert b"<script>" not in (tmp_path / "first.html").read_bytes()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "first.csv").read_text("utf-8-sig"))))
    assert rows[0]["customer_name"] == f"'{HOSTILE}"
    piped = type_at(site, *INVOICE, "show", "2", "--form", "csv").out
    assert piped.encode() == (tmp_path / "first.csv").read_bytes()


@pytest.mark.usefixtures("closed")
def test_a_pdf_is_nothing_for_a_terminal(site: Terminal) -> None:
    """On a terminal a PDF is refused before anything is asked for; into a pipe it goes."""
    command = [sys.executable, "-m", "sealcast.cli", *INVOICE, "show", "1", "--form", "pdf"]
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command,
            cwd=site.folder,
            env=site.environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=COMMAND_S_MAX,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert done.stderr == b"sealcast: a PDF is nothing for a terminal: add --output FILE.pdf\n"


def test_without_the_extra(
    site: Terminal, type_at: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without typst one line says what to install, before anything is asked for; other forms need nothing."""
    monkeypatch.delitem(sys.modules, "sealcast.billing.pdf", raising=False)
    monkeypatch.setitem(sys.modules, "typst", None)
    for command in (
        ("show", "99", "--output", "x.pdf"),
        ("export", "--output", str(tmp_path), "--form", "pdf"),
    ):
        refused = type_at(site, *INVOICE, *command)
        assert (refused.status, refused.complaint) == (
            1,
            "this command needs more: pip install 'sealcast[invoice]'",
        )


@pytest.mark.usefixtures("closed")
def test_mistakes(site: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """A form that a name does not say, a number that was never given, no folder: one line each."""
    for command, status, why in (
        (("show", "1", "--output", "x.doc"), 2, "x.doc does not say in which form"),
        (("show", "99"), 4, "no invoice has the number 000099"),
        (("show", "1", "--output", str(tmp_path / "none" / "x.csv")), 2, "cannot write"),
        (("export", "--output", "/dev/null/x"), 2, "cannot make the folder"),
        (("list", "--since", "yesterday"), 2, "not an instant"),
        (("credit", "1", "--reason", "x", "--amount", "1"), 2, "--amount is of one line"),
        (("credit", "1", "--reason", "x", "--line", "1", "--amount", "0.001"), 2, "at most 2 decimals"),
        (("credit", "1", "--reason", "x", "--line", "1", "--amount", "-1"), 2, "is above 0"),
        (("credit", "1", "--reason", "x", "--line", "1", "--amount", "50"), 4, "left to credit"),
        (("credit", "99", "--reason", "x", "--line", "1", "--amount", "1"), 2, "no invoice has the number"),
        (("close", "--customer", "nobody"), 4, "nobody"),
    ):
        refused = type_at(site, *INVOICE, *command)
        assert refused.status == status, refused
        assert why in refused.complaint


def test_credit_rebill_and_export(site: Terminal, closed: str, type_at: Typist, tmp_path: Path) -> None:
    """A part is credited once, the rest is credited and billed anew, and all of it is exported."""
    assert closed
    part = ("credit", "1", "--line", "1", "--amount", "4.00", "--reason", "two days dark")
    out = type_at(site, *INVOICE, *part).out
    assert out == "credit note 000003 on invoice 000001 is issued, over -4.76 EUR\n"
    out = type_at(site, *INVOICE, *part).out
    assert out == "that was credited before: credit note 000003 on invoice 000001, over -4.76 EUR\n"
    told = json.loads(type_at(site, *INVOICE, *part, "--id", "complaint-7", "--json").out)
    assert (told["note"]["number"], told["note"]["total_minor"], told["is_new"]) == (4, -476, True)
    out = type_at(site, *INVOICE, "credit", "2", "--reason", "=HYPERLINK()", "--rebill").out
    assert out == "credit note 000005 on invoice 000002 is issued, over -11.89 EUR\n"
    assert type_at(site, *INVOICE, "close").out == "invoice 000006 is issued, over 11.89 EUR\n"

    books = tmp_path / "books" / "all"
    forms = ("--form", "csv", "--form", "pdf", "--form", "csv")
    out = type_at(site, *INVOICE, "export", "--output", str(books), *forms).out
    assert out == f"6 documents are in {books}, as csv, pdf\n"
    names = [f"invoice-{n:06}" for n in (1, 2, 6)] + [f"credit-note-{n:06}" for n in (3, 4, 5)]
    assert {path.name for path in books.iterdir()} == {
        f"{name}.{form}" for name in names for form in ("csv", "pdf")
    }
    told = json.loads(
        type_at(site, *INVOICE, "export", "--output", str(books), "--customer", "TV-0001", "--json").out
    )
    assert told == {"documents": 3, "files": 6, "folder": str(books)}
    data = (books / "credit-note-000003.json").read_bytes()
    assert json.loads(data)["corrects"] == 1
