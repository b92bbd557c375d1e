"""Shows settlement command by command: contracts, statements of months that are over, payouts."""

import csv
import datetime as dt
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist
from sealcast.cli.billing.settling_asking import parse_share
from sealcast.core.errors import UsageError
from sealcast.transport.system import SystemClock

SETTLE = "billing", "settle"


def month(back: int) -> dt.date:
    """Return the first day of a month that many months ago."""
    day = dt.datetime.fromtimestamp(SystemClock().wall_ns() / 1e9, dt.UTC).date().replace(day=1)
    for _ in range(back):
        day = (day - dt.timedelta(days=1)).replace(day=1)
    return day


def test_from_contract_to_payout(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """A minimum of two months is stated, shown in every form, and paid once in whole cents."""
    type_at(operator, "channel", "add", "settled", "--group", "239.255.7.1:5004")
    since = month(2)
    add = (*SETTLE, "contract", "add", "studio7", "settled", "--currency", "EUR")
    terms = ("--share", "1/3", "--price", "0.01 per GB", "--minimum", "10.000001", "--from", str(since))
    out = type_at(operator, *add, *terms).out
    assert out == (
        "contract 1: studio7 gets 1/3, 0.01 per GB, at least 10.000001 a month of settled,"
        f" from {since}T00:00:00Z on\n"
    )
    out = type_at(operator, *SETTLE, "issue").out
    assert out == "2 statements are issued, 000001 to 000002, over 20.000002 EUR\n"
    assert type_at(operator, *SETTLE, "issue").out == "no statement is due\n"
    assert json.loads(type_at(operator, *SETTLE, "issue", "--json").out) == {"issued": [], "totals": {}}

    table = type_at(operator, *SETTLE, "list", "--broadcaster", "studio7").out.splitlines()
    assert table[0].split() == ["NUMBER", "BROADCASTER", "FROM", "UNTIL", "AMOUNT"]
    ends = [f"{month(back)}T00:00:00Z" for back in (2, 1, 0)]
    assert table[1].split() == ["000001", "studio7", ends[0], ends[1], "10.000001", "EUR"]
    assert table[2].split() == ["000002", "studio7", ends[1], ends[2], "10.000001", "EUR"]
    page = json.loads(type_at(operator, *SETTLE, "list", "--limit", "1", "--json").out)
    assert ([row["number"] for row in page["statements"]], page["more"]) == ([1], True)

    shown = type_at(operator, *SETTLE, "show", "1").out
    assert "studio7" in shown
    assert "at least 10.000001" in shown
    document = json.loads(type_at(operator, *SETTLE, "show", "1", "--json").out)
    assert (document["number"], document["amount_micro"]) == (1, 10_000_001)
    for form in ("json", "csv", "html"):
        path = tmp_path / f"statement.{form}"
        assert type_at(operator, *SETTLE, "show", "1", "--output", str(path)).out == f"{path} is written\n"
    assert json.loads((tmp_path / "statement.json").read_text()) == document
    rows = list(csv.DictReader(io.StringIO((tmp_path / "statement.csv").read_text("utf-8-sig"))))
    assert [row["channel_name"] for row in rows] == ["settled"]

    pay = (*SETTLE, "pay", "studio7", "--currency", "EUR")
    out = type_at(operator, *pay, "--id", "bank-1").out
    assert out == "studio7 was paid 20.00 EUR; 0.000002 EUR stays on its account\n"
    out = type_at(operator, *pay, "--id", "bank-1").out
    assert out == "studio7 was paid before 20.00 EUR; 0.000002 EUR stays on its account\n"
    out = type_at(operator, *pay).out
    assert out == "nothing is to be paid to studio7: 0.000002 EUR stays on its account\n"
    balances = json.loads(type_at(operator, "billing", "ledger", "balance", "--json").out)["balances"]
    assert {row["account"]: row["balance_micro"] for row in balances} == {
        "broadcaster:studio7": -2,
        "operator:cash": -20_000_000,
        "operator:income": 20_000_002,
    }


def test_contracts_end(operator: Terminal, type_at: Typist) -> None:
    """The next contract ends the one before; the list tells both; one to come is taken back."""
    type_at(operator, "channel", "add", "ending", "--group", "239.255.7.2:5004")
    add = (*SETTLE, "contract", "add", "studio8", "ending", "--currency", "JPY")
    first = json.loads(type_at(operator, *add, "--share", "40", "--json").out)["contracts"][0]["number"]
    later = f"{month(0) + dt.timedelta(days=400)}"
    out = type_at(operator, *add, "--share", "33.3 %", "--from", later).out.splitlines()
    assert out == [
        f"contract {first} ends at {later}T00:00:00Z",
        f"contract {first + 1}: studio8 gets 33.3 % of ending, from {later}T00:00:00Z on",
    ]
    out = type_at(operator, *SETTLE, "contract", "end", str(first + 1), "--on", later).out
    assert out == f"contract {first + 1} ends at {later}T00:00:00Z\n"
    table = type_at(operator, *SETTLE, "contract", "list").out.splitlines()
    assert table[0].split() == ["NUMBER", "BROADCASTER", "CHANNEL", "CURRENCY", "GETS", "FROM", "UNTIL"]
    (line,) = (each for each in table if each.startswith(f"{first} "))
    assert line.split()[1:6] == ["studio8", "ending", "JPY", "40", "%"]

    too_much = type_at(
        operator, *SETTLE, "contract", "add", "x", "ending", "--currency", "JPY", "--share", "61"
    )
    assert (too_much.status, "101 %" in too_much.complaint) == (4, True)
    nothing = type_at(operator, *SETTLE, "contract", "add", "x", "ending", "--currency", "JPY")
    assert (nothing.status, "gives nothing" in nothing.complaint) == (4, True)
    for wrong in (("--share", "101"), ("--price", "much"), ("--minimum", "-1"), ("--from", "soon")):
        refused = type_at(operator, *SETTLE, "contract", "add", "x", "ending", "--currency", "JPY", *wrong)
        assert refused.status == 2, wrong
    missing = type_at(operator, *SETTLE, "show", "999")
    assert (missing.status, "999" in missing.complaint) == (4, True)


@pytest.mark.parametrize(
    ("text", "parts", "of"),
    [
        ("50", 1, 2),
        ("33.3 %", 333, 1_000),
        ("1/3", 1, 3),
        ("2/6", 1, 3),
        ("100%", 1, 1),
        ("0.0001", 1, 10**6),
    ],
)
def test_shares_that_can_be_typed(text: str, parts: int, of: int) -> None:
    """Per cent or a fraction."""
    share = parse_share(text)
    assert (share.numerator, share.denominator) == (parts, of)


@pytest.mark.parametrize("text", ["0", "100.1", "-5", "1/0", "4/3", "0/3", "a half", "0.00001", "1/3000000"])
def test_what_is_no_share(text: str) -> None:
    """Nothing, more than all, and what nobody can read."""
    with pytest.raises(UsageError):
        parse_share(text)


VERBS = "contract add", "contract end", "contract list", "issue", "list", "show", "pay"


@pytest.mark.parametrize("verb", VERBS)
def test_each_command_has_examples(tmp_path: Path, type_at: Typist, verb: str) -> None:
    """Every command explains itself with an example that begins with its own name."""
    text = type_at(Terminal(tmp_path), *SETTLE, *verb.split(), "--help").out
    assert f"sealcast billing settle {verb}" in text.partition("Examples")[2]


def test_help_is_light(tmp_path: Path) -> None:
    """Help of settlement loads none of the libraries that only running commands need."""
    program = (
        "import sys; from sealcast.cli.main import run; run(['billing', 'settle', '--help']);"
        "print([name for name in ('aiohttp', 'msgspec', 'sqlalchemy', 'typst') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=Terminal(tmp_path).environment,
    )
    assert done.stdout.splitlines()[-1] == "[]"
