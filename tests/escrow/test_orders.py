"""Shows that the table of an order's life has no dead end, no way back from an end, and no second way."""

import itertools
import typing

import pytest

from escrow.shop import NOW_MS, terms
from sealcast.core.errors import RefusedError, UsageError
from sealcast.escrow.orders import (
    ALREADY,
    CLAIMS,
    ENDS,
    HOLDING,
    TRANSITIONS,
    Event,
    Order,
    OrderState,
    next_state,
)
from sealcast.escrow.receipts import KIND_OF
from sealcast.escrow.rules import DAY_MS, HOUR_MS, MAY, Actor, Timeouts, check_may, fee_micro, is_already
from sealcast.messages import escrow as words

FOUND = {state: {event for (of, event) in TRANSITIONS if of is state} for state in OrderState}
BECAME = {Event.HELD, Event.NOT_COVERED, Event.MOVED}


def order(state: OrderState) -> Order:
    """Return an order in a state."""
    return Order(1, terms(), state, 1, NOW_MS, NOW_MS, None)


def reachable(state: OrderState) -> set[OrderState]:
    """Return the states that may follow, after whatever steps."""
    found: set[OrderState] = set()
    waiting = [state]
    while waiting:
        at = waiting.pop()
        for event in FOUND[at]:
            to = TRANSITIONS[at, event]
            if to not in found:
                found.add(to)
                waiting.append(to)
    return found


def test_states_are_those_of_the_messages() -> None:
    """What an order may be is what parties are told, and each receipt but `opened` is of a state."""
    assert set(OrderState) == set(typing.get_args(words.OrderState))
    assert set(KIND_OF.values()) | {"opened"} == set(typing.get_args(words.ReceiptKind))
    assert all(kind == state for state, kind in KIND_OF.items())


def test_every_state_is_reached_and_comes_to_an_end() -> None:
    """From `placed` an order comes into every state, and from every state to an end; nothing follows that."""
    assert reachable(OrderState.PLACED) | {OrderState.PLACED} == set(OrderState)
    for state in OrderState:
        assert (not FOUND[state]) == (state in ENDS)
        assert state in ENDS or reachable(state) & ENDS


def test_money_goes_one_way() -> None:
    """A claim on an end leads to that end alone; who was paid out is never paid back, nor the other way."""
    assert reachable(OrderState.CONFIRMED) == {OrderState.RELEASED}
    assert reachable(OrderState.REFUNDING) == {OrderState.REFUNDED}
    assert OrderState.EXPIRED not in reachable(OrderState.PAID)
    for state in HOLDING:
        assert reachable(state) & ENDS <= {OrderState.RELEASED, OrderState.REFUNDED}


def test_every_other_event_is_refused() -> None:
    """Of all states and events, those that are not in the table are refused by name."""
    for state, event in itertools.product(OrderState, Event):
        if (state, event) in TRANSITIONS:
            assert next_state(state, event) is TRANSITIONS[state, event]
            continue
        with pytest.raises(RefusedError, match=f"{state} takes no {event}") as no:
            next_state(state, event)
        assert (no.value.type, no.value.status) == ("order-state", 409)


def test_who_may_is_said_of_every_event_that_is_asked_for() -> None:
    """Each step either is somebody's to bring about, or is what became of a claim."""
    assert set(MAY) == {(state, event) for state, event in TRANSITIONS if event not in BECAME}
    assert {state for state, event in TRANSITIONS if event in BECAME} == CLAIMS
    for state, event in MAY:
        for actor in Actor:
            if actor in MAY[state, event]:
                check_may(order(state), event, actor)
            else:
                with pytest.raises(RefusedError, match=f"takes no {event} by {actor}"):
                    check_may(order(state), event, actor)


def test_who_has_opened_does_not_take_the_price_back() -> None:
    """Once the device may have what opens the package, the buyer's own word gives nothing back."""
    for state in (OrderState.ISSUED, OrderState.DISPUTED):
        assert Actor.BUYER not in MAY[state, Event.REFUND]
    with pytest.raises(RefusedError, match="sealcast order dispute"):
        check_may(order(OrderState.ISSUED), Event.REFUND, Actor.BUYER)


def test_told_again() -> None:
    """A request that was carried out is known again in all states that it led to, and in no other."""
    for event in ALREADY:
        first = {TRANSITIONS[pair] for pair in TRANSITIONS if pair[1] is event}
        assert first <= ALREADY[event]
        for state in ALREADY[event]:
            assert is_already(order(state), event)
            assert (state, event) not in TRANSITIONS
    assert not is_already(order(OrderState.REFUNDED), Event.PAY)
    assert not is_already(order(OrderState.REFUNDED), Event.CONFIRM)
    assert not is_already(order(OrderState.RELEASED), Event.REFUND)


@pytest.mark.parametrize("ends", ["release", "refund"])
def test_silence_ends_every_state(ends: typing.Literal["release", "refund"]) -> None:
    """By silence alone, and claims seen through, an order comes to its end from wherever it is."""
    timeouts = Timeouts(dispute_ends=ends)
    for begin in OrderState:
        state, steps = begin, 0
        while state not in ENDS:
            event = timeouts.on_silence(state)
            assert (event is None) == (timeouts.until_ms(state, NOW_MS, NOW_MS) is None)
            if event is None:
                assert state in CLAIMS
                event = Event.HELD if state is OrderState.PAYING else Event.MOVED
            else:
                check_may(order(state), event, Actor.SILENCE)
            state, steps = next_state(state, event), steps + 1
            assert steps <= 4
        if begin is OrderState.DISPUTED:
            assert state is (OrderState.RELEASED if ends == "release" else OrderState.REFUNDED)


def test_how_long_states_wait() -> None:
    """The waits are those of the settings; an attempt to pay does not make an offer longer."""
    timeouts, later = Timeouts(), NOW_MS + HOUR_MS
    assert timeouts.until_ms(OrderState.PLACED, NOW_MS, later) == NOW_MS + DAY_MS
    assert timeouts.until_ms(OrderState.PAID, NOW_MS, later) == later + 7 * DAY_MS
    assert timeouts.until_ms(OrderState.ISSUED, NOW_MS, later) == later + 7 * DAY_MS
    assert timeouts.until_ms(OrderState.DISPUTED, NOW_MS, later) == later + 30 * DAY_MS
    for state in CLAIMS | ENDS:
        assert timeouts.until_ms(state, NOW_MS, later) is None
    with pytest.raises(UsageError, match="waits for some time"):
        Timeouts(issued_ms=0)


def test_fee() -> None:
    """It is rounded down, and never more than the price."""
    assert [fee_micro(999, each) for each in (0, 1, 100, 999, 1_000)] == [0, 0, 99, 998, 999]
