"""Shows that of many programs that end, or pay, the same orders at the same moment one alone has its way."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa

from escrow.shop import BUYER, EURO, FREE, HOUSE, KEY, NOW_MS, PRICE, TREASURY, bring_to, pay_in, place
from sealcast.core.errors import LocalError, RefusedError
from sealcast.escrow import store_orders, store_receipts
from sealcast.escrow.moving import Treasury
from sealcast.escrow.orders import Event, Order, OrderState
from sealcast.escrow.payments import buyer_account, payout
from sealcast.escrow.rules import DAY_MS, Actor, Refunds
from sealcast.ledger import reading
from sealcast.ledger.entries import Posting

pytestmark = pytest.mark.usefixtures("both_databases")

ORDERS, LIMIT = 8, 2
TRIES_MAX = 50
Work = Callable[[sa.Connection], object]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads that work at the same time."""
    with ThreadPoolExecutor(5) as threads:
        yield threads


def again_and_again(engine: sa.Engine, work: Work) -> str:
    """Carry out a unit of work until it is done or refused; where programs stood in one another's way, again.

    Returns the name of the refusal, if it was one.
    """
    for _ in range(TRIES_MAX):
        try:
            with engine.begin() as connection:
                work(connection)
        except RefusedError as no:
            return no.type
        except (LocalError, sa.exc.DBAPIError):
            continue
        return ""
    raise AssertionError("it does not come to an end")


def at_once(engine: sa.Engine, pool: ThreadPoolExecutor, works: list[Work]) -> list[str]:
    """Begin units of work at the same moment, and return what became of them."""
    barrier = threading.Barrier(len(works))

    def one(work: Work) -> str:
        barrier.wait()
        return again_and_again(engine, work)

    return list(pool.map(one, works))


def saying(order: Order, event: Event, actor: Actor) -> Work:
    """Return the unit of work that says something to an order as it is by then."""

    def say(connection: sa.Connection) -> object:
        now = store_orders.get(connection, order.id)
        return TREASURY.act(connection, now, event, actor, NOW_MS)

    return say


def balance(engine: sa.Engine, account: str) -> int:
    """Return what is owed to an account."""
    with engine.connect() as connection:
        return -reading.balance(connection, account, "EUR")


def test_everybody_ends_the_same_order(engine: sa.Engine, pool: ThreadPoolExecutor) -> None:
    """Buyer, seller, device and silence end an order at once: it ends one way, and the money with it."""
    released = 0
    with engine.begin() as connection:
        pay_in(connection, BUYER, ORDERS * PRICE, "more")
        orders = [
            bring_to(connection, place(connection, f"{number}"), OrderState.ISSUED)
            for number in range(ORDERS)
        ]
    for order in orders:

        def silence(connection: sa.Connection, of: str = order.id) -> object:
            return TREASURY.fall_silent(connection, of, NOW_MS + 99 * DAY_MS)

        works = [
            saying(order, Event.CONFIRM, Actor.BUYER),
            saying(order, Event.REFUND, Actor.SELLER),
            saying(order, Event.REFUND, Actor.DEVICE),
            saying(order, Event.DISPUTE, Actor.BUYER),
            silence,
        ]
        assert set(at_once(engine, pool, works)) <= {"", "order-state"}
        with engine.begin() as connection:
            # Where all others read the order before the dispute was there, time ends it.
            if store_orders.get(connection, order.id).state is OrderState.DISPUTED:
                TREASURY.fall_silent(connection, order.id, NOW_MS + 99 * DAY_MS)
            ended = store_orders.get(connection, order.id)
            assert ended.state in {OrderState.RELEASED, OrderState.REFUNDED}
            kinds = {each.kind for each in store_receipts.page(connection, store_receipts.Whose(), 0, 999)}
            assert kinds <= {"placed", "paid", "issued", "disputed", "confirmed", "released", "refunded"}
        released += ended.state is OrderState.RELEASED
        assert balance(engine, f"held:{order.id}") == 0
    assert balance(engine, "seller:ACME") == released * 9 * EURO
    assert balance(engine, buyer_account(BUYER)) == 25 * EURO + (ORDERS - released) * PRICE
    with engine.connect() as connection:
        assert reading.unbalanced(connection, 0, 999) == []


def test_money_is_spent_once(engine: sa.Engine, pool: ThreadPoolExecutor) -> None:
    """Of orders and payouts that want the same money at once, no more go through than it covers."""
    account = buyer_account(BUYER)
    for turn in range(4):
        with engine.begin() as connection:
            orders = [place(connection, f"{turn}-{number}") for number in range(3)]

        def pay_out(connection: sa.Connection, name: str = f"payout-{turn}") -> object:
            return payout(connection, name, Posting(account, 15 * EURO), "EUR", NOW_MS)

        works: list[Work] = [saying(each, Event.PAY, Actor.BUYER) for each in orders]
        found = at_once(engine, pool, [*works, pay_out])
        # What a payer saw may be gone by the time of his hold: his order is placed again, without a no.
        assert set(found) <= {"", "not-covered"}
        left = balance(engine, account)
        assert 0 <= left < 15 * EURO
        with engine.connect() as connection:
            states = [store_orders.get(connection, each.id).state for each in orders]
        assert set(states) <= {OrderState.PAID, OrderState.PLACED}
        paid = states.count(OrderState.PAID)
        assert left == 25 * EURO - paid * PRICE - (found[3] == "") * 15 * EURO
        with engine.begin() as connection:
            for each in orders:
                now = store_orders.get(connection, each.id)
                if now.state is OrderState.PAID:
                    TREASURY.act(connection, now, Event.REFUND, Actor.BUYER, NOW_MS)
            lacks = 25 * EURO + reading.balance(connection, account, "EUR")
            if lacks:
                pay_in(connection, BUYER, lacks, f"turn-{turn}")


@pytest.mark.parametrize("key", [KEY, FREE])
def test_the_limit_of_refunds_holds_among_programs(
    engine: sa.Engine, pool: ThreadPoolExecutor, key: str
) -> None:
    """Of orders that are paid at once as many go through as one buyer and price class may have."""
    strict = Treasury(replace(HOUSE, refunds=Refunds(LIMIT)))
    with engine.begin() as connection:
        pay_in(connection, BUYER, ORDERS * PRICE, "more")
    for turn in range(3):
        with engine.begin() as connection:
            orders = [place(connection, f"{turn}-{number}", key) for number in range(5)]

        def pay(connection: sa.Connection, of: str) -> object:
            now = store_orders.get(connection, of)
            return strict.act(connection, now, Event.PAY, Actor.BUYER, NOW_MS)

        found = at_once(engine, pool, [partial(pay, of=each.id) for each in orders])
        assert sorted(found) == [*[""] * LIMIT, *["too-many-refunds"] * (5 - LIMIT)]
        with engine.begin() as connection:
            for each in orders:
                now = store_orders.get(connection, each.id)
                if now.state is OrderState.PAID:
                    issued = store_orders.change(connection, now, Event.OPEN, NOW_MS, HOUSE)
                    TREASURY.act(connection, issued, Event.CONFIRM, Actor.BUYER, NOW_MS)


def test_one_event_counts_once(engine: sa.Engine, pool: ThreadPoolExecutor) -> None:
    """An order that five programs change at once by the same event is changed by one of them."""
    with engine.begin() as connection:
        order = place(connection)

    def change(connection: sa.Connection) -> object:
        return store_orders.change(connection, order, Event.PAY, NOW_MS, HOUSE)

    assert sorted(at_once(engine, pool, [change] * 5)) == ["", *["order-state"] * 4]
    with engine.connect() as connection:
        assert store_orders.get(connection, order.id).version == 2
