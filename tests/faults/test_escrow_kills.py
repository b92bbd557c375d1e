"""Kill -9 of escrow, device agent and buyer amid purchases: nobody pays twice, nothing paid for is lost."""

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.marketplace import AGENT_LINE, ESCROW_LINE, Marketplace
from faults.nursery import Child, Forks
from sealcast.sealpack.reading import PackageFile

PRICE, FEE, DEPOSIT = 4_990_000, 499_000, 1_000_000_000
BEFORE_KILL_S = (0.0, 1.5)
BUYER_SHARE, AGENT_SHARE = 0.2, 0.4
"""Which part of the kills hits the buyer's command, and which above it the agent; the others the escrow."""

ENDS = ("confirm", "dispute", "refund", "")
PATIENCE_S = 240
PAID = ("paid", "issued", "disputed", "confirmed", "released")


@dataclass
class Shopper:
    """Buys package after package, each until its command ends well, and remembers what it was told."""

    place: Marketplace
    packages: list[Path]
    random: random.Random
    over: threading.Event = field(default_factory=threading.Event)
    present: Child | None = None
    told: dict[str, str] = field(default_factory=dict)
    """By order, what its buyer asked for and was told is done."""

    bought: dict[str, Path] = field(default_factory=dict)
    faults: list[BaseException] = field(default_factory=list)

    def go(self) -> None:
        """Buy in turn until told to stop, and once more to the end of a purchase."""
        try:
            for package in self.packages:
                if self.over.is_set():
                    return
                answer = self.until_done("buy", str(package), "--yes", "--json")
                assert answer["opens"] is True, answer
                # A buyer killed after its purchase is told the next time only that it opens.
                order = answer.get("order") or self.order_of(package)
                self.bought[order] = package
                end = self.random.choice(ENDS)
                if end:
                    self.until_done("order", end, order, "--at", self.place.url, "--json", may_refuse=True)
                    self.told[order] = end
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self.faults.append(error)

    def until_done(self, *arguments: str, may_refuse: bool = False) -> dict[str, object]:
        """Type a command again and again until it ends well; other ends than those of kills are faults."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            self.present = child = self.place.viewer.start(*arguments)
            status = child.end(PATIENCE_S)
            if status == 0:
                return dict(json.loads(child.out))
            if may_refuse and status == 4:
                return {}
            # Killed, or nobody answered, or the agent or escrow went away amid an answer.
            assert status in {-9, 1, 3}, (arguments, status, child.err)
        raise AssertionError(f"{arguments} does not end: {child.err}")

    def order_of(self, package: Path) -> str:
        """Return the order under which a package was opened, as the escrow has it."""
        listed = self.until_done("order", "list", "--json")
        rows = listed["orders"]
        assert isinstance(rows, list)
        with PackageFile(package) as file:
            name = file.peek.id
        found = [row["order"] for row in rows if row["package"] == name and row["state"] in PAID]
        assert len(found) == 1, rows
        return str(found[0])


def kill_often(folder: Path, forks: Forks, kills: int, seed: int) -> Counter[str]:
    """Run the whole scene with so many kills, and check all that was said and done."""
    chance = random.Random(seed)  # noqa: S311 - chooses whom to kill
    with Marketplace(folder, forks) as place:
        place.let_in()
        place.serve_agent()
        place.trade(str(DEPOSIT // 1_000_000))
        packages = [place.pack(f"film-{number}", content(number)) for number in range(max(4, kills))]
        shopper = Shopper(place, packages, random.Random(seed + 1))  # noqa: S311 - chooses what to ask
        done = Counter[str]()
        with running(shopper):
            while done.total() < kills and not shopper.faults:
                time.sleep(chance.uniform(*BEFORE_KILL_S))
                done[kill_one(place, shopper, chance.random())] += 1
        assert not shopper.faults, shopper.faults
        check(place, shopper)
        return done


def kill_one(place: Marketplace, shopper: Shopper, share: float) -> str:
    """Kill one of them, and start what serves again; the buyer types again by itself."""
    if share < BUYER_SHARE:
        if shopper.present is not None and shopper.present.is_alive():
            shopper.present.send(9)
        return "buyer"
    if share < AGENT_SHARE:
        assert place.agent is not None
        assert place.agent.kill() == -9, place.agent.err
        place.agent = place.viewer.start("device", "serve")
        place.agent.wait_for_line(AGENT_LINE)
        return "agent"
    assert place.escrow.kill() == -9, place.escrow.err
    place.serve_escrow().wait_for_line(ESCROW_LINE)
    return "escrow"


@contextlib.contextmanager
def running(shopper: Shopper) -> Iterator[None]:
    """Have somebody shop as long as the block, and to the end of a purchase."""
    thread = threading.Thread(target=shopper.go)
    thread.start()
    try:
        yield
    finally:
        shopper.over.set()
        thread.join(2 * PATIENCE_S)
        assert not thread.is_alive()


def check(place: Marketplace, shopper: Shopper) -> None:
    """Every entry balances, each package was paid for once at most, and what was told is so."""
    settle(place)
    assert place.rows("SELECT entry FROM ledger_postings GROUP BY entry HAVING sum(amount_micro) != 0") == []
    states = dict(place.rows("SELECT id, state FROM escrow_orders"))
    for order, package in shopper.bought.items():
        into = place.place("viewer") / f"{package.stem}.out"
        place.viewer.good("package", "unpack", str(package), "--output", str(into), "--force")
        assert into.read_bytes() == content(int(package.stem.rpartition("-")[2]))
        # A device that has the share may not take its money back, so all of them were paid for.
        assert states[order] in PAID, (order, states[order])
        if shopper.told.get(order) == "confirm":
            assert states[order] == "released"
    paid = place.rows(
        f"SELECT package, count(*) FROM escrow_orders WHERE state IN {PAID} GROUP BY package"  # noqa: S608
    )
    assert all(count == 1 for _, count in paid), paid
    released = sum(state == "released" for state in states.values())
    held = sum(state in PAID for state in states.values()) - released
    balance = dict(place.rows("SELECT account, sum(amount_micro) FROM ledger_postings GROUP BY account"))
    assert sum(int(str(each)) for each in balance.values()) == 0
    assert balance["escrow:cash"] == DEPOSIT
    assert balance["buyer:tv"] == -(DEPOSIT - PRICE * (released + held))
    assert balance.get("seller:shop", 0) == -(PRICE - FEE) * released
    assert balance.get("escrow:fee", 0) == -FEE * released
    holds = sum(-int(str(each)) for name, each in balance.items() if str(name).startswith("held:"))
    assert holds == PRICE * held


def settle(place: Marketplace) -> None:
    """Wait until no order is amid a movement of its money."""
    ends = time.monotonic() + PATIENCE_S
    moving = "SELECT id, state FROM escrow_orders WHERE state IN ('paying', 'confirmed', 'refunding')"
    while rows := place.rows(moving):
        assert time.monotonic() < ends, rows
        time.sleep(0.1)


def content(number: int) -> bytes:
    """Return what stands in a package."""
    return f"this is film {number} ".encode() * 5_000


def test_killed_a_few_times(tmp_path: Path, forks: Forks) -> None:
    """The short form: four kills."""
    assert kill_often(tmp_path / "place", forks, kills=4, seed=1).total() == 4


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_fifty_kills(tmp_path: Path, forks: Forks) -> None:
    """Fifty kills at random moments."""
    done = kill_often(tmp_path / "place", forks, kills=50, seed=2)
    print(f"kills: {dict(done)}")
    assert min(done["escrow"], done["agent"], done["buyer"]) > 2
