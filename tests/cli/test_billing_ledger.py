"""Shows how an operator keeps the ledger, command by command, and what accountants' programs get of it."""

import csv
import io
import json
from collections import Counter

import pytest

from cli.terminal import Terminal, Typist
from sealcast.billing.periods import zone_of
from sealcast.cli.billing.ledger_formats import amount_text, csv_text, journal_text
from sealcast.ledger.entries import account
from sealcast.messages.bookkeeping import EntryRow, PostingRow

LEDGER = ("billing", "ledger")


def test_keeping_the_ledger(operator: Terminal, type_at: Typist) -> None:
    """Payments, entries of one's own, corrections, lists, balances, closing: each says what is so."""

    def ledger(*arguments: str, status: int = 0) -> str:
        result = type_at(operator, *LEDGER, *arguments)
        assert result.status == status, result.err
        return result.out if status == 0 else result.complaint

    assert ledger("list").startswith("NUMBER")
    moved = ("post", "EUR", "--id", "start", "--amount", "20.5", "--from", "operator:income")
    assert ledger(*moved, "--to", "subscriber:TV-1", "--on", "2026-01-01") == "entry start has number 1\n"
    pay = ("pay", "TV-1", "9.99", "EUR", "--id", "bank-1", "--memo", "Ada's transfer")
    assert ledger(*pay) == "TV-1 has paid 9.99 EUR and owes 10.51 EUR now\n"
    assert ledger(*pay) == "TV-1 had paid, as recorded before, 9.99 EUR and owes 10.51 EUR now\n"
    other = ("pay", "TV-1", "8", "EUR", "--id", "bank-1")
    assert ledger(*other, status=4).startswith("another entry has the id bank-1")
    assert ledger("pay", "TV-1", "10.51", "EUR", "--id", "bank-2") == (
        "TV-1 has paid 10.51 EUR and owes nothing now\n"
    )
    assert ledger("reverse", "bank-2", "--memo", "bounced") == "entry reversal-of-bank-2 has number 4\n"
    assert "was recorded before, with number 4" in ledger("reverse", "bank-2", "--memo", "bounced")
    assert "taken back already" in ledger("reverse", "bank-2", "--id", "again", status=4)
    assert "no entry has the id 'bank-9'" in ledger("reverse", "bank-9", status=4)
    three = ("--posting", "operator:cash=1200", "--posting", "subscriber:a%2Fb=-700")
    yen = ("post", "JPY", "--id", "yen", *three, "--posting", "subscriber:TV-1=-500", "--json")
    assert json.loads(ledger(*yen))["entry"]["number"] == 5
    lines = [line.split() for line in ledger("balance").splitlines()]
    assert lines[1:] == [
        ["operator:cash", "9.99", "EUR"],
        ["operator:cash", "1200", "JPY"],
        ["operator:income", "-20.50", "EUR"],
        ["subscriber:TV-1", "10.51", "EUR"],
        ["subscriber:TV-1", "-500", "JPY"],
        ["subscriber:a%2Fb", "-700", "JPY"],
    ]
    then = json.loads(ledger("balance", "subscriber:", "--at", "2026-01-01T00:00:00.001Z", "--json"))
    assert [row["balance_micro"] for row in then["balances"]] == [20_500_000]
    listed = json.loads(ledger("list", "subscriber:TV-1", "--limit", "2", "--json"))
    assert ([row["id"] for row in listed["entries"]], listed["more"]) == (["start", "bank-1"], True)
    assert ledger("close", "2026-02-01") == "the books are closed until 2026-02-01T00:00:00Z\n"
    assert "closed" in ledger(
        *moved[:2], "--id", "late", *moved[4:], "--to", "a", "--on", "2026-01-31", status=4
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("pay", "TV-1", "-5", "EUR", "--id", "x"), None),
        (("pay", "TV-1", "0", "EUR", "--id", "x"), "an amount here is above 0"),
        (("pay", "TV-1", "1.2345678", "EUR", "--id", "x"), "not an amount"),
        (("pay", "two words", "1", "EUR", "--id", "x"), "an account's part"),
        (("post", "EUR", "--id", "x", "--amount", "5"), "give --amount, --from and --to"),
        (("post", "EUR", "--id", "x", "--posting", "a:b"), "not a posting"),
        (("post", "EUR", "--id", "x", "--posting", "A=5"), "not an account"),
        (("close", "2026-02-01T00:00"), "names no time zone"),
        (("export", "--zone", "Mars/Olympus"), "Mars/Olympus"),
        (("list", "--limit", "0"), None),
    ],
)
def test_mistakes(operator: Terminal, type_at: Typist, arguments: tuple[str, ...], why: str | None) -> None:
    """What does not fit is told in one line, with status 2, before anything is asked."""
    result = type_at(operator, *LEDGER, *arguments)
    assert result.status == 2
    assert why is None or why in result.complaint


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("pay", "TV-1", "0.001", "EUR", "--id", "x"), "whole coins"),
        (("pay", "TV-1", "1", "EURO", "--id", "x"), "no currency has the code"),
        (("pay", "TV-1", "1", "EUR", "--id", "invoice-000001"), "ids of entries of documents"),
        (("reverse", "invoice-000001"), "write a credit note"),
        (("post", "EUR", "--id", "x", "--posting", "a:b=5"), "does not balance"),
        (("close", "2999-01-01"), "past"),
    ],
)
def test_refusals(operator: Terminal, type_at: Typist, arguments: tuple[str, ...], why: str) -> None:
    """What the key server does not take is told in its words, with status 4."""
    result = type_at(operator, *LEDGER, *arguments)
    assert (result.status, why in result.complaint) == (4, True)


def test_export(operator: Terminal, type_at: Typist) -> None:
    """CSV and journal hold every posting, more of them than a page, and add up to nothing."""
    for number in range(3):
        rows = [f"--posting=subscriber:TV-{place}=-0.000001" for place in range(400)]
        post = ("post", "BHD", "--id", f"many-{number}", "--posting=operator:income=0.0004", *rows)
        assert type_at(operator, *LEDGER, *post).status == 0
    text = type_at(operator, *LEDGER, "export", "--format", "csv").out
    lines = [row for row in csv.DictReader(io.StringIO(text)) if row["id"].startswith("many-")]
    assert len(lines) == 3 * 401
    assert Counter(row["account"] for row in lines)["operator:income"] == 3
    journal = type_at(operator, *LEDGER, "export", "--zone", "Asia/Bahrain").out
    assert journal.count(" BHD\n") == 3 * 401
    assert journal.count("(many-") == 3


def entry(memo: str, code: str = "EUR", amount: int = 11_900_000) -> EntryRow:
    """Return an entry of five minutes before midnight UTC."""
    owed = PostingRow(account=account("subscriber", "a;b/(c)"), amount_micro=amount)
    earned = PostingRow(account="operator:income", amount_micro=-amount)
    return EntryRow(
        number=7,
        id="e-7",
        currency=code,
        effective_ms=1_772_409_300_000,
        recorded_at_ms=1_772_409_300_500,
        memo=memo,
        corrects="e-6",
        postings=[owed, earned],
    )


def test_a_journal() -> None:
    """A transaction is dated in the zone asked for; a memo cannot begin a comment or another line."""
    assert journal_text([entry("rent;  of *March")], zone_of("Europe/Berlin")) == (
        "2026-03-02 (e-7) rent, of *March\n"
        "    ; number: 7\n"
        "    ; effective: 2026-03-01T23:55:00Z\n"
        "    ; recorded: 2026-03-01T23:55:00.500Z\n"
        "    ; corrects: e-6\n"
        "    subscriber:a%3Bb%2F%28c%29                       11.90 EUR\n"
        "    operator:income                                 -11.90 EUR\n\n"
    )


def test_a_line_of_csv() -> None:
    """Each posting is a line; quotes and commas come back as they were."""
    memo = 'say "yes", or; no'
    rows = list(csv.reader(io.StringIO(csv_text([entry(memo, "JPY", 5_000_000)], with_header=True))))
    assert rows[1:] == [
        ["7", "e-7", "2026-03-01T23:55:00Z", "2026-03-01T23:55:00.500Z", "JPY", name, amount, memo, "e-6"]
        for name, amount in (("subscriber:a%3Bb%2F%28c%29", "5"), ("operator:income", "-5"))
    ]


def test_amounts_as_people_write_them() -> None:
    """As many decimals as a currency has, more only where there are more; none for one that is unknown."""
    assert amount_text(11_900_000, "EUR") == "11.90"
    assert amount_text(-11_900_001, "EUR") == "-11.900001"
    assert amount_text(5_000_000, "JPY") == "5"
    assert amount_text(500_000, "JPY") == "0.5"
    assert amount_text(1_000, "BHD") == "0.001"
    assert amount_text(11_900_000, "XQX") == "11.9"
