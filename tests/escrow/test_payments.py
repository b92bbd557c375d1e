"""Shows how orders move money in the embedded ledger: held once, ended once, never more than there is."""

import pytest
import sqlalchemy as sa

from escrow.bank import Bank
from escrow.shop import (
    BUYER,
    DEPOSIT,
    EURO,
    FREE,
    HOUSE,
    KEY,
    NOW_MS,
    OTHER,
    PRICE,
    SELLER,
    TREASURY,
    bring_to,
    pay_in,
    place,
    treasury,
)
from sealcast.core.errors import LocalError, RefusedError
from sealcast.escrow import payments, store_orders
from sealcast.escrow.orders import CLAIMS, Event, Order, OrderState
from sealcast.escrow.payments import buyer_account, deposit, move_here, payout, seller_account
from sealcast.escrow.rules import DAY_MS, Actor
from sealcast.ledger import reading, store
from sealcast.ledger.entries import Entry, Posting

pytestmark = pytest.mark.usefixtures("both_databases")

ACCOUNTS = ("escrow:cash", "escrow:fee", buyer_account(BUYER), seller_account(SELLER))


def owed(connection: sa.Connection) -> list[int]:
    """Return cash, and what is owed to the house, the buyer and the seller, in euros."""
    cash, *others = (reading.balance(connection, name, "EUR") for name in ACCOUNTS)
    return [cash // EURO, *(-each // EURO for each in others)]


def held(connection: sa.Connection, order: Order) -> int:
    """Return what is held for an order, in euros."""
    return -reading.balance(connection, f"held:{order.id}", "EUR") // EURO


def say(connection: sa.Connection, order: Order, event: Event, actor: Actor = Actor.BUYER) -> Order:
    """Have something said to an order."""
    return TREASURY.act(connection, order, event, actor, NOW_MS)


def test_released(connection: sa.Connection) -> None:
    """The price is held when the order is paid, and the seller's but for the fee once it is confirmed."""
    order = place(connection)
    assert (owed(connection), held(connection, order)) == ([25, 0, 25, 0], 0)
    order = bring_to(connection, order, OrderState.ISSUED)
    assert (owed(connection), held(connection, order)) == ([25, 0, 15, 0], 10)
    order = say(connection, order, Event.CONFIRM)
    assert order.state is OrderState.RELEASED
    assert (owed(connection), held(connection, order)) == ([25, 1, 15, 9], 0)
    found = [store.find(connection, f"order-{order.id}-{what}") for what in ("hold", "end")]
    assert [len(each.postings) for each in found if each] == [2, 3]
    assert reading.unbalanced(connection, 0, 99) == []


def test_refunded(connection: sa.Connection) -> None:
    """Who opened nothing has all of it back."""
    order = say(connection, bring_to(connection, place(connection), OrderState.PAID), Event.REFUND)
    assert order.state is OrderState.REFUNDED
    assert (owed(connection), held(connection, order)) == ([25, 0, 25, 0], 0)


def test_told_again(connection: sa.Connection) -> None:
    """Each request told twice is answered as the order is by now, and moves nothing more."""
    order = place(connection)
    for event in (Event.PAY, Event.CONFIRM):
        if event is Event.CONFIRM:
            order = say(connection, order, Event.OPEN)
        first = say(connection, order, event)
        assert say(connection, first, event) == first
        order = first
    assert say(connection, order, Event.PAY) == order
    assert owed(connection) == [25, 1, 15, 9]
    with pytest.raises(RefusedError, match="released takes no refund"):
        say(connection, order, Event.REFUND, Actor.SELLER)


def test_not_covered(connection: sa.Connection) -> None:
    """An order that costs more than the buyer has is refused, stays placed, and is paid once he has it."""
    order = place(connection, key=OTHER)
    with pytest.raises(RefusedError, match=f"{BUYER} has not enough") as no:
        say(connection, order, Event.PAY)
    assert (no.value.type, no.value.status) == ("not-covered", 402)
    assert store_orders.get(connection, order.id) == order
    pay_in(connection, BUYER, 15 * EURO, "second")
    assert say(connection, order, Event.PAY).state is OrderState.PAID
    assert owed(connection) == [40, 0, 0, 0]
    with pytest.raises(RefusedError, match="not enough"):
        say(connection, place(connection, "2"), Event.PAY)


def test_what_costs_nothing(connection: sa.Connection) -> None:
    """A free order goes the same way without any entry."""
    order = bring_to(connection, place(connection, key=FREE, buyer="poor"), OrderState.ISSUED)
    assert say(connection, order, Event.CONFIRM).state is OrderState.RELEASED
    assert store.find(connection, f"order-{order.id}-hold") is None
    assert owed(connection) == [25, 0, 25, 0]


def test_the_ledger_refuses_a_second_end(connection: sa.Connection) -> None:
    """Were the state of an order wrong, the one id of both ends would still stand against paying twice."""
    order = say(connection, bring_to(connection, place(connection), OrderState.ISSUED), Event.CONFIRM)
    wrong = Order(
        order.number, order.terms, OrderState.REFUNDING, order.version, NOW_MS, NOW_MS, None, order.reason
    )
    with pytest.raises(LocalError, match="moved that money elsewhere"):
        move_here(connection, wrong, NOW_MS)
    assert owed(connection) == [25, 1, 15, 9]


def test_no_end_without_a_beginning(connection: sa.Connection) -> None:
    """What was held elsewhere, or never, is not paid out of this ledger."""
    order = place(connection)
    for state in OrderState:
        wrong = Order(order.number, order.terms, state, 1, NOW_MS, NOW_MS, None)
        if state not in CLAIMS:
            with pytest.raises(LocalError, match="moves no money"):
                move_here(connection, wrong, NOW_MS)
        elif state is not OrderState.PAYING:
            with pytest.raises(LocalError, match="was not held in this ledger"):
                move_here(connection, wrong, NOW_MS)
    assert owed(connection) == [25, 0, 25, 0]


def test_closed_books(connection: sa.Connection) -> None:
    """Where the books are closed until later than now, entries are of the first instant that is open."""
    store.close(connection, NOW_MS + 50, NOW_MS + 50)
    order = say(connection, bring_to(connection, place(connection), OrderState.PAID), Event.REFUND)
    found = store.find(connection, f"order-{order.id}-hold")
    assert found is not None
    assert (found.effective_ms, found.recorded_at_ms) == (NOW_MS + 50, NOW_MS)


def test_deposits_and_payouts(connection: sa.Connection) -> None:
    """Each is one, however often it is told; a payout is of no more than there is."""
    paid = Posting(buyer_account(BUYER), 5 * EURO)
    assert deposit(connection, "deposit-x", paid, "EUR", NOW_MS)
    assert not deposit(connection, "deposit-x", paid, "EUR", NOW_MS + 9)
    with pytest.raises(RefusedError, match="another entry has the id deposit-x") as no:
        deposit(connection, "deposit-x", Posting(paid.account, 6 * EURO), "EUR", NOW_MS)
    assert no.value.type == "exists"
    assert owed(connection) == [30, 0, 30, 0]
    everything = Posting(paid.account, 30 * EURO)
    with pytest.raises(RefusedError, match="has 30000000 micro-units") as no:
        payout(connection, "payout-x", Posting(paid.account, 30 * EURO + 1), "EUR", NOW_MS)
    assert no.value.type == "not-covered"
    with pytest.raises(RefusedError, match="has 0 micro-units in CHF"):
        payout(connection, "payout-x", everything, "CHF", NOW_MS)
    assert payout(connection, "payout-x", everything, "EUR", NOW_MS)
    assert not payout(connection, "payout-x", everything, "EUR", NOW_MS + 9)
    assert owed(connection) == [0, 0, 0, 0]
    with pytest.raises(RefusedError, match="has 0 micro-units"):
        payout(connection, "payout-y", Posting(paid.account, 1), "EUR", NOW_MS)


def test_nobody_is_overdrawn(connection: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Money that another program spent after a look at the balance is not spent again: all is undone."""
    monkeypatch.setattr(payments, "is_covered", lambda *_: True)
    order = place(connection, key=OTHER)
    claim = store_orders.change(connection, order, Event.PAY, NOW_MS, HOUSE)
    with pytest.raises(LocalError, match="drawn on by somebody else"):
        move_here(connection, claim, NOW_MS)


def test_somebody_elses_entry(connection: sa.Connection) -> None:
    """An entry of the same id that says something else is not taken for the order's."""
    order = place(connection)
    postings = (Posting("a", 1), Posting("b", -1))
    store.record(connection, Entry(f"order-{order.id}-hold", "EUR", NOW_MS, postings), NOW_MS)
    with pytest.raises(LocalError, match="moved that money elsewhere"):
        say(connection, order, Event.PAY)


def test_silence(connection: sa.Connection) -> None:
    """Each state ends by itself when its time is over, and not before; the order says why."""
    ends = {
        OrderState.PLACED: (DAY_MS, OrderState.EXPIRED, ""),
        OrderState.PAID: (7 * DAY_MS, OrderState.REFUNDED, "nobody said anything while it was paid"),
        OrderState.ISSUED: (7 * DAY_MS, OrderState.RELEASED, "nobody said anything while it was issued"),
        OrderState.DISPUTED: (30 * DAY_MS, OrderState.RELEASED, "nobody said anything while it was disputed"),
    }
    pay_in(connection, BUYER, DEPOSIT, "second")
    for name, (state, (waits_ms, ended, why)) in enumerate(ends.items()):
        order = bring_to(connection, place(connection, f"{name}"), state)
        assert TREASURY.fall_silent(connection, order.id, NOW_MS + waits_ms - 1) == order
        found = TREASURY.fall_silent(connection, order.id, NOW_MS + waits_ms)
        assert (found.state, found.reason) == (ended, why)
        assert TREASURY.fall_silent(connection, order.id, NOW_MS + 99 * DAY_MS) == found
    assert owed(connection) == [50, 2, 30, 18]


def test_elsewhere(connection: sa.Connection) -> None:
    """An account elsewhere is asked between two steps, and what it did is noted in the second."""
    bank = Bank()
    bank.pay_in(f"buyer {BUYER}", PRICE - 1)
    away = treasury(bank)
    claim = away.act(connection, place(connection), Event.PAY, Actor.BUYER, NOW_MS)
    assert claim.state is OrderState.PAYING
    assert away.go_on(connection, claim, NOW_MS) == claim
    assert away.ask(claim) is Event.NOT_COVERED
    order = away.note(connection, claim, Event.NOT_COVERED, NOW_MS + 5)
    assert (order.state, order.until_ms) == (OrderState.PLACED, NOW_MS + DAY_MS)
    bank.pay_in(f"buyer {BUYER}", 1)
    assert away.ask(claim) is Event.NOT_COVERED
    again = away.act(connection, order, Event.PAY, Actor.BUYER, NOW_MS)
    became = away.ask(again)
    assert became is Event.HELD
    order = away.note(connection, again, became, NOW_MS)
    order = away.act(connection, order, Event.OPEN, Actor.BUYER, NOW_MS)
    claim = away.act(connection, order, Event.CONFIRM, Actor.BUYER, NOW_MS)
    with pytest.raises(RefusedError, match="confirmed takes no refund"):
        away.act(connection, claim, Event.REFUND, Actor.SELLER, NOW_MS)
    assert [away.ask(claim) for _ in range(2)] == [Event.MOVED] * 2
    assert away.note(connection, claim, Event.MOVED, NOW_MS).state is OrderState.RELEASED
    assert bank.moves(order.id) == ["end", "hold"]
    assert (bank.balance(f"seller {SELLER}"), bank.balance("fee"), bank.total()) == (9 * EURO, EURO, PRICE)
    assert owed(connection) == [25, 0, 25, 0]


def test_an_embedded_ledger_asks_nobody(connection: sa.Connection) -> None:
    """There is nothing to ask where money moves with the state."""
    assert TREASURY.is_here
    assert TREASURY.house is HOUSE
    assert TREASURY.ask(place(connection, key=KEY)) is None
