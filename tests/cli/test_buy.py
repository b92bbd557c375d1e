"""Shows purchases from the command line: what is asked, paid, opened, taken back, and by whom."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.market import BUYER, CONTENT, PRICE, SELLER, Market, open_market
from cli.terminal import Terminal, Typist
from sealcast.messages import operations_escrow as operations
from sealcast.messages.escrow import BalanceList


@pytest.fixture(scope="module")
def market(operator: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Open a market with two escrows; the buyer has paid in for ten films."""
    with open_market(operator, tmp_path_factory.mktemp("market")) as opened:
        opened.deposit(10 * PRICE, "first")
        yield opened


def content_of(market: Market, package: Path) -> bytes:
    """Return what the device opens of a package."""
    into = market.viewer.folder / "content"
    with market.agent.client() as client, package.open("rb") as source, into.open("wb") as sink:
        session = client.open(source.fileno())
        written = client.copy(session.session, 0, session.size, source.fileno(), sink.fileno())
    assert written.error is None
    return into.read_bytes()


def test_a_purchase(market: Market, type_at: Typist) -> None:
    """Shown, paid, opened; the seller has the price without the fee once the buyer has confirmed."""
    package, before = market.pack("plain"), market.balances()
    out = type_at(market.viewer, "buy", str(package), "--yes").out.splitlines()
    order = out[-1].split()[-1]
    url = market.houses[0].url
    assert out == [
        "The film plain",
        f"  content  plain.mp4, {len(CONTENT):,} bytes",
        "  seller   shop",
        "  price    4.99 EUR (film)",
        f"  escrow   escrow-1 at {url}, which holds the money",
        f"order {order} is placed",
        f"order {order} is paid; escrow-1 holds the money",
        "escrow-1 has opened its share: 1 of 1",
        f"The film plain opens on {BUYER}; next:",
        f"  sealcast play {package} --output - | ffplay -",
        f"  sealcast order confirm {order}",
    ]
    assert content_of(market, package) == CONTENT
    held = market.balances()
    assert (held[BUYER], held[SELLER]) == (before[BUYER] - PRICE, before[SELLER])
    again = type_at(market.viewer, "buy", str(package)).out
    assert again == f"The film plain opens on {BUYER}: it opened here before\n"
    said = type_at(market.viewer, "order", "confirm", order).out
    assert said.startswith(f"order {order} is ")
    after = market.balances()
    assert (after[BUYER], after[SELLER]) == (held[BUYER], held[SELLER] + PRICE * 9 // 10)
    shown = type_at(market.viewer, "order", "show", order).out
    for kind in ("placed", "paid", "issued", "confirmed", "released"):
        assert f" {kind}, attested by escrow-1\n" in shown


def test_nobody_pays_unasked(market: Market, type_at: Typist) -> None:
    """Off a terminal a price has to be agreed to, and one above the limit is refused; nothing is ordered."""
    package, before = str(market.pack("asked")), market.states()
    unasked = type_at(market.viewer, "buy", package)
    assert (unasked.status, "say --yes, or --max-price" in unasked.complaint) == (2, True)
    dear = type_at(market.viewer, "buy", package, "--max-price", "4.98", "--yes")
    assert (dear.status, dear.complaint) == (
        2,
        "The film asked costs 4.99 EUR, more than --max-price 4.98",
    )
    assert market.states() == before
    told = type_at(market.viewer, "buy", package, "--max-price", "4.99", "--confirm", "--json").out
    answer = json.loads(told)
    assert (answer["opens"], answer["state"] in {"confirmed", "released"}) == (True, True)
    assert (answer["title"], answer["price_micro"]) == ("The film asked", PRICE)


def typed_on_a_terminal(market: Market, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command whose user sits at a terminal and types an answer; its status, and what it showed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sealcast.cli", *arguments]
    with subprocess.Popen(
        command,
        cwd=market.viewer.folder,
        env=market.viewer.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = b""
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4_096):
                shown += data
        os.close(ours)
    return process.returncode, shown.decode()


def test_on_a_terminal_it_asks(market: Market) -> None:
    """It shows the price and asks; a no leaves everything as it was."""
    package, before = str(market.pack("no")), market.states()
    status, shown = typed_on_a_terminal(market, "n\n", "buy", package)
    assert (status, "The film no" in shown, "Buy it for 4.99 EUR?" in shown) == (130, True, True)
    assert market.states() == before


def test_without_balance_it_waits(market: Market, type_at: Typist) -> None:
    """What the balance does not cover is said; the order stays, and is paid once it does."""
    package, missing = str(market.pack("dear")), market.balances()[BUYER]
    fields = {"party": BUYER, "amount_micro": missing, "currency": "EUR", "reference": "all-of-it"}
    market.as_operator(market.houses[0], operations.PAYOUT, BalanceList, **fields)
    refused = type_at(market.viewer, "buy", package, "--yes")
    assert (refused.status, "pay in at escrow-1" in refused.complaint) == (4, True)
    before = market.states()
    assert before.count("placed") == 1
    market.deposit(missing, "back-again")
    assert "order" in type_at(market.viewer, "buy", package, "--yes").out
    assert len(market.states()) == len(before)


def test_two_escrows(market: Market, type_at: Typist) -> None:
    """Both escrows open their shares, the second upon the first's receipt; away, it is named and made up."""
    package = market.pack("shared", count=2, threshold=2)
    market.houses[1].stop()
    short = type_at(market.viewer, "buy", str(package), "--yes")
    assert (short.status, "1 of 2 shares are there (escrow-2: " in short.complaint) == (1, True)
    market.houses[1].start()
    paid = market.balances()
    out = type_at(market.viewer, "buy", str(package)).out
    assert "escrow-2 has opened its share: 2 of 2" in out
    assert content_of(market, package) == CONTENT
    assert market.balances() == paid


def test_a_licence_for_each_order(market: Market, type_at: Typist) -> None:
    """The first run pays and writes what the seller needs; with the licence the second goes on."""
    package = market.pack("licensed", threshold=2, is_licensed=True)
    first = type_at(market.viewer, "buy", str(package), "--yes").out
    assert f"  sealcast buy {package} --licence FILE\n" in first
    paid = json.loads(type_at(market.viewer, "buy", str(package), "--json").out)
    assert (paid["opens"], paid["needs_licence"], paid["state"]) == (False, True, "paid")
    order, request = paid["order"], str(market.viewer.folder / paid["request"])
    made = ("package", "licence", str(package), "--device", request)
    licence = json.loads(type_at(market.shop, *made, "--credential", "sealcast.vault", "--json").out)["file"]
    bought = json.loads(type_at(market.viewer, "buy", str(package), "--licence", licence, "--json").out)
    assert (bought["opens"], bought["order"], bought["state"]) == (True, order, "issued")
    assert content_of(market, package) == CONTENT
    another = market.pack("another", threshold=2, is_licensed=True)
    foreign = type_at(market.viewer, "buy", str(another), "--licence", licence, "--yes")
    assert (foreign.status, "the licence is for the package" in foreign.complaint) == (1, True)


def test_a_refund_before_anything_was_opened(market: Market, type_at: Typist) -> None:
    """An order that was paid and not opened is taken back, and buying again is another order."""
    package, before = market.pack("regret", threshold=2, is_licensed=True), market.balances()
    order = json.loads(type_at(market.viewer, "buy", str(package), "--yes", "--json").out)["order"]
    assert market.balances()[BUYER] == before[BUYER] - PRICE
    said = type_at(market.viewer, "order", "refund", order, "--reason", "too long").out
    assert said.startswith(f"order {order} is refund")
    assert market.balances() == before
    other = json.loads(type_at(market.viewer, "buy", str(package), "--yes", "--json").out)["order"]
    assert other != order


@pytest.mark.parametrize(
    ("kind", "said"),
    [("is_forged", "the seller's share is wrong"), ("is_broken", "the seller's shares give no content key")],
)
def test_a_forged_share_brings_the_money_back(market: Market, type_at: Typist, kind: str, said: str) -> None:
    """A seller that put wrong shares into its package is told by the device, and has to give it back."""
    package, before = market.pack(kind, **{kind: True}), market.balances()
    short = type_at(market.viewer, "buy", str(package), "--yes")
    assert (short.status, f"the device attests that {said}" in short.complaint) == (1, True)
    order = short.complaint.split()[-1]
    assert market.balances()[BUYER] == before[BUYER] - PRICE
    assert type_at(market.viewer, "order", "refund", order).out.startswith(f"order {order} is refund")
    assert market.balances() == before


def test_a_dispute_is_resolved(market: Market, type_at: Typist) -> None:
    """A buyer objects, the administrator decides, everybody sees it; a stranger's order is not shown."""
    package, before = market.pack("wrong"), market.balances()
    order = json.loads(type_at(market.viewer, "buy", str(package), "--yes", "--json").out)["order"]
    refused = type_at(market.viewer, "order", "refund", order)
    assert (refused.status, "order dispute" in refused.complaint) == (4, True)
    said = type_at(market.viewer, "order", "dispute", order, "--reason", "another film").out
    assert said.startswith(f"order {order} is disputed: the money waits")
    escrow = ("--at", market.houses[0].url)
    shop = type_at(
        market.shop, "order", "list", *escrow, "--credential", "sealcast.vault", "--state", "disputed"
    )
    assert order in shop.out
    both = type_at(market.operator, "order", "resolve", order, *escrow)
    assert (both.status, both.complaint) == (2, "give either --release or --refund")
    done = type_at(market.operator, "order", "resolve", order, *escrow, "--refund", "--reason", "agreed")
    assert done.out.startswith(f"order {order} is refund")
    assert market.balances() == before
    listed = type_at(market.viewer, "order", "list").out
    assert next(line for line in listed.splitlines() if order in line).split()[1] == "refunded"
    assert "The film wrong" in listed


def test_who_is_not_identified_buys_nothing(market: Market, type_at: Typist) -> None:
    """A device whose identification was undone is refused by name until it is identified again."""
    package = str(market.pack("private"))
    type_at(market.operator, "device", "identify", BUYER, "--undo")
    type_at(market.viewer, "device", "renew")
    refused = type_at(market.viewer, "buy", package, "--yes")
    assert (refused.status, "has not identified TV-0001" in refused.complaint) == (4, True)
    type_at(market.operator, "device", "identify", BUYER, "--evidence", "contract 2042")
    type_at(market.viewer, "device", "renew")
    assert type_at(market.viewer, "buy", package, "--yes").status == 0


def test_what_is_no_package_is_said(market: Market, type_at: Typist) -> None:
    """A file that is none, one that is absent, and one cut off before its header ends: nothing is asked."""
    folder = market.viewer.folder
    (folder / "none").write_bytes(CONTENT)
    (folder / "cut").write_bytes(market.pack("cut").read_bytes()[:100])
    for name in ("none", "absent", "cut"):
        wrong = type_at(market.viewer, "buy", name, "--yes")
        assert wrong.status in {1, 2}, (name, wrong.err)
    orphan = type_at(market.viewer, "order", "show", "x" * 22)
    assert (orphan.status, "was not bought here" in orphan.complaint) == (2, True)


def test_at_a_revoked_escrow_nothing_is_bought(market: Market, type_at: Typist) -> None:
    """Revoked by its state's file, the one escrow is refused by name; at the other buying goes on."""
    both, one = (str(market.pack(name, count=count, threshold=count)) for name, count in (("b", 2), ("o", 1)))
    gone, before = market.houses[1], market.states()
    file = str(gone.settings.state_directory / "escrow.json")
    revoked = type_at(market.operator, "ca", "revoke", "--escrow", file).out
    assert revoked.endswith(f"(signing of escrow {gone.name})\n")
    refused = type_at(market.viewer, "buy", both, "--yes")
    assert (refused.status, f"revoked the escrow {gone.name}" in refused.complaint) == (4, True)
    assert market.states() == before
    assert type_at(market.viewer, "buy", one, "--yes").status == 0
    wrong = type_at(market.operator, "ca", "revoke", "--escrow", one)
    assert (wrong.status, "escrow.json" in wrong.complaint or "too large" in wrong.complaint) == (2, True)
    twice = type_at(market.operator, "ca", "revoke", "--escrow", file)
    assert (twice.status, "is revoked already" in twice.complaint) == (4, True)
