"""Owns who may bring about what happens to an order, how long each state waits, and how silence ends it.

Every state either is an end, waits for a bounded time, or is a claim that the sweep works on: no order stays
for ever. A certified device's word that a share does not fit its commitment counts like the operator's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sealcast.core.errors import UsageError
from sealcast.escrow.orders import ALREADY, Event, Order, OrderState, next_state, refused

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PER_MILLE = 1_000


class Actor(StrEnum):
    """Who brings an event about."""

    BUYER = "the buyer"
    SELLER = "the seller"
    OPERATOR = "the operator"
    DEVICE = "the buyer's device"
    """Its signed word (`messages.escrow.Fault`) that what the seller shared is wrong."""

    SILENCE = "silence"


MAY: dict[tuple[OrderState, Event], frozenset[Actor]] = {
    (OrderState.PLACED, Event.PAY): frozenset({Actor.BUYER}),
    (OrderState.PLACED, Event.EXPIRE): frozenset({Actor.SILENCE}),
    (OrderState.PAID, Event.OPEN): frozenset({Actor.BUYER}),
    (OrderState.PAID, Event.REFUND): frozenset({Actor.BUYER, Actor.SELLER, Actor.SILENCE}),
    (OrderState.ISSUED, Event.CONFIRM): frozenset({Actor.BUYER, Actor.SILENCE}),
    (OrderState.ISSUED, Event.REFUND): frozenset({Actor.SELLER, Actor.DEVICE}),
    (OrderState.ISSUED, Event.DISPUTE): frozenset({Actor.BUYER}),
    (OrderState.DISPUTED, Event.CONFIRM): frozenset({Actor.BUYER, Actor.OPERATOR, Actor.SILENCE}),
    (OrderState.DISPUTED, Event.REFUND): frozenset(
        {Actor.SELLER, Actor.DEVICE, Actor.OPERATOR, Actor.SILENCE}
    ),
}
"""Events that somebody asks for; the others (`held`, `not-covered`, `moved`) are what became of a claim."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each state waits for a word, in ms, and how a dispute ends that nobody ends.

    Raises UsageError for a wait that is none.
    """

    placed_ms: int = DAY_MS
    paid_ms: int = 7 * DAY_MS
    issued_ms: int = 7 * DAY_MS
    disputed_ms: int = 30 * DAY_MS
    dispute_ends: Literal["release", "refund"] = "release"

    def __post_init__(self) -> None:
        if min(self.placed_ms, self.paid_ms, self.issued_ms, self.disputed_ms) <= 0:
            raise UsageError("each state of an order waits for some time")

    def until_ms(self, state: OrderState, placed_at_ms: int, now_ms: int) -> int | None:
        """Return when silence ends a state that begins now; attempts to pay do not make an offer longer."""
        waits = {
            OrderState.PLACED: placed_at_ms + self.placed_ms,
            OrderState.PAID: now_ms + self.paid_ms,
            OrderState.ISSUED: now_ms + self.issued_ms,
            OrderState.DISPUTED: now_ms + self.disputed_ms,
        }
        return waits.get(state)

    def on_silence(self, state: OrderState) -> Event | None:
        """Return what silence brings about in a state; None where there is nothing to wait for."""
        ended = Event.CONFIRM if self.dispute_ends == "release" else Event.REFUND
        events = {
            OrderState.PLACED: Event.EXPIRE,
            OrderState.PAID: Event.REFUND,
            OrderState.ISSUED: Event.CONFIRM,
            OrderState.DISPUTED: ended,
        }
        return events.get(state)


@dataclass(frozen=True, slots=True)
class Refunds:
    """How often a buyer may have paid under one key and taken the price back, and within which time.

    Orders that wait to be opened count as well: they may be taken back at any time. UsageError for no limit.
    """

    most: int = 20
    within_ms: int = 30 * DAY_MS

    def __post_init__(self) -> None:
        if min(self.most, self.within_ms) <= 0:
            raise UsageError("a limit of refunds is 1 at least, within some time")

    def check(self, count: int, buyer: str, price_class: str) -> None:
        """Raise the refusal `too-many-refunds` for a buyer who has as many as are allowed."""
        if count >= self.most:
            raise refused(
                "too-many-refunds",
                f"{count} orders of {buyer} for {price_class} were paid and went back, or wait to be opened,"
                f" within {self.within_ms / DAY_MS:g} days: this escrow takes {self.most}",
            )


def fee_micro(price_micro: int, fee_per_mille: int) -> int:
    """Return what of a price stays with the escrow, rounded down to a micro-unit."""
    return price_micro * fee_per_mille // PER_MILLE


def is_already(order: Order, event: Event) -> bool:
    """Whether an event has happened to an order before: then whoever asks is answered, and nothing moves."""
    return order.state in ALREADY.get(event, frozenset())


def check_may(order: Order, event: Event, actor: Actor) -> None:
    """Raise the refusal `order-state` unless this event follows now, and is this one's to bring about."""
    next_state(order.state, event)
    if actor not in MAY.get((order.state, event), frozenset()):
        hint = ""
        if event is Event.REFUND and actor is Actor.BUYER:
            hint = "; what was opened is disputed: sealcast order dispute"
        raise refused("order-state", f"an order that is {order.state} takes no {event} by {actor}{hint}")
