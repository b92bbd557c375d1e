"""Owns seeded runs of an escrow: everybody at once, faults between any two writes, the books at the end.

What happens at the same time are generators, each a process that may stop between any two of its steps:

```
a request    reads the order · acts in a transaction · asks the account elsewhere · notes what became of it
the sweep    reads what is due · the same, for each
a fault      no more of this process: before a statement, after a commit, before, in or after a call elsewhere
```
What a process read may be stale when it acts, which is stricter than the server, that reads where it acts.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from escrow.bank import Bank
from escrow.shop import BUYER, EURO, FEE, HOUSE, KEY, NOW_MS, OTHER, PRICES, pay_in, place, treasury
from sealcast.core.errors import RefusedError, UnreachableError
from sealcast.escrow import store_orders
from sealcast.escrow.moving import Treasury
from sealcast.escrow.orders import CLAIMS, ENDS, TRANSITIONS, Event, Order, OrderState
from sealcast.escrow.payments import Move
from sealcast.escrow.rules import DAY_MS, MAY, Actor, Timeouts
from sealcast.ledger import reading, store
from sealcast.testing import SimRandom

T = TypeVar("T")
Process = Iterator[None]
ORDERS, STEPS = 2, 24
FAULT, LIKELY, STATEMENTS = 0.25, 0.8, 14
"""How likely a unit of work has a fault, and a request is one that fits; a fault is at one of its first so
many statements."""

ROUNDS_MAX = 8
"""Waits after the last request until every order has ended: a dispute about an order that was paid late."""

FIRST = (Event.PAY, Event.OPEN, Event.DISPUTE)
"""What may have happened to an order before everybody begins."""

OFTEN = {Event.OPEN: 6, Event.DISPUTE: 3}
"""What leads to more than an end comes more often."""

CLAIM_OF = {"hold": OrderState.PAYING, "release": OrderState.CONFIRMED, "refund": OrderState.REFUNDING}
REQUESTS = [(event, actor) for event in Event for actor in Actor if actor is not Actor.SILENCE]


class CrashError(Exception):
    """The process has ended here."""


@dataclass
class Faults:
    """Where the next unit of work ends: before so many statements more, or None."""

    statements: int | None = None
    count: int = 0

    def listen(self, engine: sa.Engine) -> None:
        """Stand before every statement of an engine."""
        sa.event.listen(engine, "before_cursor_execute", self._before)

    def _before(self, *_: object) -> None:
        if self.statements is not None:
            self.statements -= 1
            if self.statements <= 0:
                self.fail()

    def fail(self) -> None:
        """End the process."""
        self.statements = None
        self.count += 1
        raise CrashError


@dataclass
class Tally:
    """What was seen in all runs: ends, steps, noes, faults, and answers that came late."""

    ends: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    late: int = 0


@dataclass
class Run:
    """One run, of a seed, over an engine that others had before; with a bank, money is elsewhere."""

    engine: sa.Engine
    faults: Faults
    seed: str
    bank: Bank | None
    tally: Tally
    now_ms: int = NOW_MS
    is_calm: bool = False
    processes: list[Process] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = SimRandom(self.seed)
        ends = "refund" if self.random.below(2) else "release"
        self.treasury: Treasury = treasury(self.bank, Timeouts(dispute_ends=ends))  # type: ignore[arg-type]
        self.buyer = f"{BUYER}-{self.seed}"
        self.paid_in = 0
        if self.bank is not None:
            self.bank.fault, self.bank.seen = self._fail_elsewhere, self._check_claim

    def play(self) -> None:
        """Have everybody act at once, then wait until every order has ended, and look at the books."""
        self._begin()
        for _ in range(STEPS):
            self._step()
        self._finish()
        self._check()

    def _begin(self) -> None:
        with self.engine.begin() as connection:
            for number in range(ORDERS):
                key = OTHER if self.random.below(8) == 0 else KEY
                name = f"{self.seed}-{number}"
                self.orders.append(place(connection, name, key, self.buyer).id)
        self._pay_in(15 * EURO)
        self.is_calm = True
        for order_id in self.orders:
            for event in FIRST[: self.random.below(len(FIRST) + 1)]:
                for _ in self._request(order_id, event, Actor.BUYER):
                    pass
        self.is_calm = False

    def _step(self) -> None:
        """Do one thing, of whichever process."""
        chance = self.random.chance()
        if self.bank is not None and self.bank.late and chance < 0.08:
            self._hear_late()
        elif chance < 0.10:
            self.now_ms += self.random.below(8 * DAY_MS)
        elif chance < 0.13:
            self._pay_in(10 * EURO)
        elif chance < 0.18:
            self.processes.append(self._sweep())
        elif self.processes and chance < 0.75:
            self._advance(self.random.below(len(self.processes)))
        else:
            self.processes.append(self._request(*self._choose()))

    def _advance(self, place: int) -> None:
        try:
            next(self.processes[place])
        except (StopIteration, CrashError, UnreachableError):
            self.processes.pop(place)

    def _choose(self) -> tuple[str, Event, Actor]:
        """Return what is asked next: mostly something that fits, now and then anything."""
        order_id = self.orders[self.random.below(len(self.orders))]
        state = self._read(order_id).state
        fitting = [
            (event, actor)
            for (at, event), may in MAY.items()
            for actor in sorted(may - {Actor.SILENCE})
            for _ in range(OFTEN.get(event, 1))
            if at is state
        ]
        wanted = fitting if fitting and self.random.chance() < LIKELY else REQUESTS
        return order_id, *wanted[self.random.below(len(wanted))]

    def _request(self, order_id: str, event: Event, actor: Actor) -> Process:
        """Ask for something; what was read may be old when it counts."""
        order = self._read(order_id)
        yield
        changed = self._unit(
            lambda connection: self.treasury.act(connection, order, event, actor, self.now_ms, reason=event)
        )
        yield
        if changed is not None:
            yield from self._see_through(changed)

    def _sweep(self) -> Process:
        """Go over all that is due once, as the sweep does."""
        with self.engine.connect() as connection:
            due = store_orders.silent(connection, self.now_ms, 99)
        for order_id in due:
            yield
            self._unit(
                lambda connection, of=order_id: self.treasury.fall_silent(connection, of, self.now_ms)  # type: ignore[misc]
            )
        yield
        with self.engine.connect() as connection:
            claimed = store_orders.claimed(connection, 0, 99)
        for order in claimed:
            yield from self._see_through(order)

    def _see_through(self, order: Order) -> Process:
        """Have the money of a claim moved, and note it."""
        if order.state not in CLAIMS:
            return
        if self.bank is None:
            self._unit(lambda connection: self.treasury.go_on(connection, order, self.now_ms))
            return
        became = self.treasury.ask(order)
        yield
        assert became is not None
        if became is Event.NOT_COVERED:
            self.tally.refusals[became.value] += 1
        self._unit(lambda connection: self.treasury.note(connection, order, became, self.now_ms))

    def _unit(self, work: Callable[[sa.Connection], Order]) -> Order | None:
        """Carry out a unit of work, in which the process may end; None if it was refused.

        What is refused is committed, as in the server: nothing may have been written.
        """
        has_fault = not self.is_calm and self.random.chance() < FAULT
        place = self.random.below(STATEMENTS + 4) + 1
        found: Order | RefusedError
        with self.engine.begin() as connection:
            self.faults.statements = place if has_fault and place <= STATEMENTS else None
            try:
                found = work(connection)
            except RefusedError as no:
                found = no
            finally:
                self.faults.statements = None
        if has_fault and place > STATEMENTS:
            self.faults.fail()
        if isinstance(found, RefusedError):
            self.tally.refusals[found.type] += 1
            return None
        return found

    def _finish(self) -> None:
        """Let what is under way come to its end without more faults, and wait as long as it takes."""
        self.is_calm = True
        while self.processes:
            self._advance(self.random.below(len(self.processes)))
            self._hear_late()
        for _ in range(ROUNDS_MAX):
            for _ in self._sweep():
                pass
            self._hear_late()
            if all(self._read(each).state in ENDS for each in self.orders):
                return
            self.now_ms += 31 * DAY_MS
        raise AssertionError(f"{self.seed}: an order does not end")

    def _hear_late(self) -> None:
        if self.bank is not None and self.bank.late:
            self.bank.hear_late(self.random.below(len(self.bank.late)))
            self.tally.late += 1

    def _fail_elsewhere(self, _: str) -> None:
        chance = 1.0 if self.is_calm else self.random.chance()
        if chance < FAULT / 4:
            self.faults.fail()
        if chance < FAULT / 2:
            self.tally.faults += 1
            raise UnreachableError("no answer")

    def _check_claim(self, what: str, move: Move) -> None:
        """Show that money moves only for a claim that is on record, and that nobody can leave meanwhile."""
        order = self._read(move.order)
        assert (order.state, order.version) == (CLAIM_OF[what], move.attempt), (self.seed, what)

    def _pay_in(self, amount_micro: int) -> None:
        self.paid_in += amount_micro
        if self.bank is not None:
            self.bank.pay_in(f"buyer {self.buyer}", amount_micro)
            return
        with self.engine.begin() as connection:
            pay_in(connection, self.buyer, amount_micro, f"{self.seed}-{self.paid_in}")

    def _read(self, order_id: str) -> Order:
        with self.engine.connect() as connection:
            return store_orders.get(connection, order_id)

    def _check(self) -> None:
        """Show that each order ended one way, and that everybody has what is his, to the last micro-unit."""
        orders = [self._read(each) for each in self.orders]
        released = [each for each in orders if each.state is OrderState.RELEASED]
        moved = [each for each in orders if each.state is not OrderState.EXPIRED]
        spent = sum(each.terms.price_micro for each in released)
        fees = sum(each.terms.price_micro * FEE // 1_000 for each in released)
        if self.bank is not None:
            assert self.bank.total() == self.paid_in, self.seed
            assert self.bank.balance(f"buyer {self.buyer}") == self.paid_in - spent, self.seed
            assert self.bank.balance("fee") == fees, self.seed
            assert all(self.bank.balance(f"held {each}") == 0 for each in self.orders), self.seed
            for each in orders:
                assert self.bank.moves(each.id) == (["end", "hold"] if each in moved else []), self.seed
        with self.engine.connect() as connection:
            if self.bank is None:
                self._check_ledger(connection, orders, self.paid_in - spent)
            for each in orders:
                self._check_receipts(connection, each)

    def _check_ledger(self, connection: sa.Connection, orders: list[Order], left_micro: int) -> None:
        assert -reading.balance(connection, f"buyer:{self.buyer}", "EUR") == left_micro, self.seed
        for order in orders:
            assert reading.balance(connection, f"held:{order.id}", "EUR") == 0, self.seed
            entries = [store.find(connection, f"order-{order.id}-{what}") for what in ("hold", "end")]
            if order.state is OrderState.EXPIRED:
                assert entries == [None, None], self.seed
                continue
            hold, end = entries
            assert hold is not None, self.seed
            assert end is not None, self.seed
            is_released = order.state is OrderState.RELEASED
            to = f"seller:{order.terms.seller}" if is_released else f"buyer:{self.buyer}"
            fee = order.terms.fee_micro if is_released else 0
            got = {each.account: each.amount_micro for each in end.postings}
            assert got[to] == fee - PRICES[order.terms.key], self.seed
            assert got.get("escrow:fee", 0) == -fee, self.seed

    def _check_receipts(self, connection: sa.Connection, order: Order) -> None:
        """Show that the receipts tell one way through the table, to the end where the order is."""
        query = "SELECT kind FROM escrow_receipts WHERE lead = :lead AND order_id = :id ORDER BY number"
        rows = connection.execute(sa.text(query), {"lead": HOUSE.id, "id": order.id})
        kinds = [row[0] for row in rows]
        assert kinds[-1] == order.state, self.seed
        assert len(set(kinds)) == len(kinds), self.seed
        for before, after in itertools.pairwise(kinds):
            assert after in _attested_after(before), (self.seed, kinds)
            self.tally.steps[before, after] += 1
        self.tally.ends[kinds[-1]] += 1


def _attested_after(kind: str) -> set[str]:
    """Return the receipts that may follow one: states next to it, or behind one that has none."""
    found: set[str] = set()
    waiting = [OrderState(kind)]
    while waiting:
        at = waiting.pop()
        for (state, _), to in TRANSITIONS.items():
            if state is at and to in {OrderState.PAYING, OrderState.REFUNDING}:
                waiting.append(to)
            elif state is at:
                found.add(to.value)
    return found


def play_all(engine: sa.Engine, seeds: range, *, is_elsewhere: bool) -> Tally:
    """Play a run for each seed, one after the other, and return what was seen."""
    tally, faults = Tally(), Faults()
    faults.listen(engine)
    for seed in seeds:
        name = f"{'e' if is_elsewhere else 'h'}{seed}"
        Run(engine, faults, name, Bank() if is_elsewhere else None, tally).play()
    tally.faults += faults.count
    return tally
