"""Shows that the sweep sees claims through, where an account elsewhere fails and around a broken one."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from escrow.bank import Bank, no_fault
from escrow.shop import BUYER, HOUSE, NOW_MS, PRICE, TREASURY, fill, place
from sealcast.core.errors import LocalError, UnreachableError
from sealcast.core.ports import NS_PER_MS
from sealcast.escrow import store_orders
from sealcast.escrow.moving import Treasury
from sealcast.escrow.orders import Event, Order
from sealcast.escrow.rules import DAY_MS, Actor
from sealcast.server.escrow.sweeping import Sweeper
from sealcast.storage.unitofwork import UnitOfWork
from sealcast.testing import SimClock
from storage.places import open_engine, upgraded_engine

T = TypeVar("T")


@dataclass
class Office:
    """An escrow's records, its sweep, and an account elsewhere with some money of the buyer's."""

    unit_of_work: UnitOfWork
    bank: Bank = field(default_factory=Bank)
    clock: SimClock = field(default_factory=SimClock)

    def __post_init__(self) -> None:
        self.treasury = Treasury(HOUSE, self.bank)
        self.sweeper = Sweeper(self.treasury, self.unit_of_work.run, self.clock)
        self.bank.pay_in(f"buyer {BUYER}", 3 * PRICE)
        self.wait(NOW_MS - self.now_ms)

    @property
    def now_ms(self) -> int:
        """What the clock says."""
        return self.clock.wall_ns() // NS_PER_MS

    def wait(self, wait_ms: int) -> None:
        """Let time pass."""
        self.clock.advance(wait_ms * NS_PER_MS)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a unit of work."""
        return self.unit_of_work.run_blocking(work)

    def place(self, name: str) -> Order:
        """Place an order."""
        return self.write(lambda connection: place(connection, name))

    def say(self, order: Order, event: Event, actor: Actor = Actor.BUYER) -> None:
        """Have something said to an order as it is by now."""

        def act(connection: sa.Connection) -> Order:
            now = store_orders.get(connection, order.id)
            return self.treasury.act(connection, now, event, actor, self.now_ms)

        self.write(act)

    def sweep(self) -> int:
        """Sweep once."""
        return asyncio.run(self.sweeper.sweep())

    def states(self, *orders: Order) -> list[str]:
        """Return where orders are."""
        return [self.write(lambda c, of=each: store_orders.get(c, of.id)).state.value for each in orders]  # type: ignore[misc]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a database in which a seller has keys."""
    path: Path = tmp_path_factory.mktemp("office") / "made.sqlite"
    engine = upgraded_engine(path)
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    return path


@pytest.fixture
def office(made: Path, tmp_path: Path) -> Iterator[Office]:
    """Give an office over a fresh database."""
    shutil.copyfile(made, tmp_path / "test.sqlite")
    unit_of_work = UnitOfWork(open_engine(tmp_path / "test.sqlite"))
    yield Office(unit_of_work)
    unit_of_work.close()


def test_claims_are_seen_through(office: Office) -> None:
    """What is claimed is moved elsewhere and noted; a second look has nothing to do."""
    order, poor = office.place("1"), office.place("2")
    office.say(order, Event.PAY)
    assert office.states(order) == ["paying"]
    assert office.sweep() == 1
    office.bank.pay_in(f"buyer {BUYER}", -2 * PRICE)
    office.say(poor, Event.PAY)
    assert office.sweep() == 1
    assert office.states(order, poor) == ["paid", "placed"]
    office.say(order, Event.REFUND)
    assert office.states(order) == ["refunding"]
    assert (office.sweep(), office.sweep()) == (1, 0)
    assert office.states(order) == ["refunded"]
    assert office.bank.balance(f"buyer {BUYER}") == PRICE


@pytest.mark.parametrize(
    "where", ["before it was heard", "between its writes", "before it was written", "before it was answered"]
)
def test_an_account_that_does_not_answer(office: Office, where: str) -> None:
    """Wherever a call breaks off, the next look asks again, and the money moves once."""

    def fault(at: str) -> None:
        if at == where:
            raise UnreachableError("no answer")

    first, second = office.place("1"), office.place("2")
    for event, claims, done in (
        (Event.PAY, "paying", "paid"),
        (Event.OPEN, "issued", "issued"),
        (Event.CONFIRM, "confirmed", "released"),
    ):
        for each in (first, second):
            office.say(each, event)
        office.bank.fault = fault
        assert office.sweep() == 0
        assert office.states(first, second) == [claims] * 2
        office.bank.fault = no_fault
        while office.bank.late:
            office.bank.hear_late(0)
        office.sweep()
        assert office.states(first, second) == [done] * 2
    assert office.bank.balance("seller ACME") == 2 * PRICE * 9 // 10
    assert office.bank.balance(f"buyer {BUYER}") == PRICE


def test_a_broken_order_holds_up_no_other(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """A fault with one order's money, or with its end, is logged; all others go on."""
    orders = [office.place(f"{number}") for number in range(3)]

    def seen(_: str, move: object) -> None:
        if getattr(move, "order", "") == orders[1].id:
            raise LocalError("the account is broken")

    office.bank.seen = seen
    for each in orders:
        office.say(each, Event.PAY)
    assert office.sweep() == 2
    assert office.states(*orders) == ["paid", "paying", "paid"]
    assert f"the money of order {orders[1].id} was not moved" in caplog.text
    office.bank.seen = lambda _what, _move: None
    assert office.sweep() == 1
    assert office.states(*orders) == ["paid"] * 3


def test_silence_ends_many(office: Office) -> None:
    """More orders than one look brings end in one sweep, around one that does not; each is logged."""
    office.sweeper = Sweeper(TREASURY, office.unit_of_work.run, office.clock)
    held = office.place("held")
    office.say(held, Event.PAY)
    office.write(
        lambda connection: office.treasury.note(connection, get(connection, held), Event.HELD, NOW_MS)
    )
    orders = [office.place(f"{number}") for number in range(205)]
    office.wait(8 * DAY_MS)
    # The ledger here knows nothing of what was held elsewhere, and takes no end of it.
    assert office.sweep() == len(orders)
    assert set(office.states(*orders)) == {"expired"}
    assert office.states(held) == ["paid"]


def test_claims_of_a_ledger_that_is_here(office: Office) -> None:
    """A claim that is left over from an account elsewhere is seen through in the ledger."""
    order = office.place("1")
    office.say(order, Event.PAY)
    office.sweeper = Sweeper(TREASURY, office.unit_of_work.run, office.clock)
    assert office.sweep() == 1
    assert office.states(order) == ["paid"]


async def beside(office: Office, every_s: float, work: Callable[[], None]) -> None:
    """Have the sweep run while `work` does, in a thread of its own."""
    running = asyncio.create_task(office.sweeper.run(every_s))
    await asyncio.wait_for(asyncio.to_thread(work), 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_it_runs_and_is_told(office: Office) -> None:
    """It looks at once when it is told of a claim, from whatever thread, and not only when it is time."""
    office.sweeper.nudge()
    order = office.place("1")

    def pay() -> None:
        office.say(order, Event.PAY)
        while office.states(order) != ["paid"]:
            office.sweeper.nudge()
            time.sleep(0.005)

    asyncio.run(beside(office, 3_600, pay))


def test_it_goes_on_after_a_failure(office: Office) -> None:
    """A database that refuses for a while ends a round, and not the sweep."""
    calls: list[int] = []

    async def write(work: Callable[[sa.Connection], T]) -> T:
        calls.append(1)
        if len(calls) < 3:
            raise UnreachableError("the database is away")
        return await office.unit_of_work.run(work)

    office.sweeper = Sweeper(office.treasury, write, office.clock)
    order = office.place("1")
    office.say(order, Event.PAY)

    def wait() -> None:
        while office.states(order) != ["paid"]:
            time.sleep(0.005)

    asyncio.run(beside(office, 0.01, wait))
    assert len(calls) >= 3
    assert office.bank.balance(f"buyer {BUYER}") == 2 * PRICE


def get(connection: sa.Connection, order: Order) -> Order:
    """Return an order as it is by now."""
    return store_orders.get(connection, order.id)
