"""Owns the life of an order: its states, what happens to it, and the one table of what follows from what.

```
placed ──pay──► paying ──held──► paid ──open──► issued ──confirm──► confirmed ──moved──► released
  │  ▲             │               │             │   │                  ▲
expire └─not-covered               └───refund────┤ dispute ► disputed ──┤
  ▼                                              ▼             │ refund │
expired                       refunded ◄─moved─ refunding ◄────┘        └ confirm
```
Rules of this file: it knows no money, no clock and no caller. `paying`, `confirmed` and `refunding` are
*claims*: written down before any money moves, so that it moves for this reason and for no other. Who may
bring an event about is in `escrow.rules`; docs/spec/escrow.md has it all in words.
"""

from dataclasses import dataclass
from enum import StrEnum

from sealcast.core.errors import RefusedError
from sealcast.messages.problems import STATUS_OF


class OrderState(StrEnum):
    """Where an order stands; the words are those of `messages.escrow.OrderState`."""

    PLACED = "placed"
    PAYING = "paying"
    PAID = "paid"
    ISSUED = "issued"
    DISPUTED = "disputed"
    CONFIRMED = "confirmed"
    REFUNDING = "refunding"
    RELEASED = "released"
    REFUNDED = "refunded"
    EXPIRED = "expired"


class Event(StrEnum):
    """What happens to an order."""

    PAY = "pay"
    """The buyer wants to pay: the claim on his money."""

    HELD = "held"
    """The price is on the order's own account."""

    NOT_COVERED = "not-covered"
    """The buyer has not enough; nothing was moved."""

    OPEN = "open"
    """The buyer's device is given what opens the package."""

    CONFIRM = "confirm"
    """The price is the seller's: by the buyer's word, by silence, or by the end of a dispute."""

    REFUND = "refund"
    """The price goes back to the buyer."""

    DISPUTE = "dispute"
    """The buyer objects: silence does not release the price any more, for a while."""

    MOVED = "moved"
    """The price has left the order's account, to whom the claim says."""

    EXPIRE = "expire"
    """Nobody paid."""


TRANSITIONS: dict[tuple[OrderState, Event], OrderState] = {
    (OrderState.PLACED, Event.PAY): OrderState.PAYING,
    (OrderState.PLACED, Event.EXPIRE): OrderState.EXPIRED,
    (OrderState.PAYING, Event.HELD): OrderState.PAID,
    (OrderState.PAYING, Event.NOT_COVERED): OrderState.PLACED,
    (OrderState.PAID, Event.OPEN): OrderState.ISSUED,
    (OrderState.PAID, Event.REFUND): OrderState.REFUNDING,
    (OrderState.ISSUED, Event.CONFIRM): OrderState.CONFIRMED,
    (OrderState.ISSUED, Event.REFUND): OrderState.REFUNDING,
    (OrderState.ISSUED, Event.DISPUTE): OrderState.DISPUTED,
    (OrderState.DISPUTED, Event.CONFIRM): OrderState.CONFIRMED,
    (OrderState.DISPUTED, Event.REFUND): OrderState.REFUNDING,
    (OrderState.CONFIRMED, Event.MOVED): OrderState.RELEASED,
    (OrderState.REFUNDING, Event.MOVED): OrderState.REFUNDED,
}
"""All that may happen; whatever does not stand here is refused."""

ALREADY: dict[Event, frozenset[OrderState]] = {
    Event.PAY: frozenset(
        {
            OrderState.PAYING,
            OrderState.PAID,
            OrderState.ISSUED,
            OrderState.DISPUTED,
            OrderState.CONFIRMED,
            OrderState.RELEASED,
        }
    ),
    Event.CONFIRM: frozenset({OrderState.CONFIRMED, OrderState.RELEASED}),
    Event.REFUND: frozenset({OrderState.REFUNDING, OrderState.REFUNDED}),
    Event.DISPUTE: frozenset({OrderState.DISPUTED}),
}
"""States that a request finds when it was carried out before: told twice, it is answered as at first."""

CLAIMS = frozenset({OrderState.PAYING, OrderState.CONFIRMED, OrderState.REFUNDING})
"""States that last until money has moved; the sweep goes on with them until it has."""

HOLDING = frozenset(
    {OrderState.PAID, OrderState.ISSUED, OrderState.DISPUTED, *(CLAIMS - {OrderState.PAYING})}
)
"""States in which the price is on the order's own account, whatever else is true; it may be in `paying`."""

ENDS = frozenset({OrderState.RELEASED, OrderState.REFUNDED, OrderState.EXPIRED})
"""Nothing happens to an order any more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order is about; it never changes. `price_micro` and payee are the key's, not the buyer's."""

    id: str
    key: str
    package: str
    buyer: str
    seller: str
    price_class: str
    price_micro: int
    fee_micro: int
    currency: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it is on record: `version` rises by one with each event.

    `until_ms` is when silence ends the state (`escrow.rules`), None where it does not.
    """

    number: int
    terms: Terms
    state: OrderState
    version: int
    placed_at_ms: int
    changed_at_ms: int
    until_ms: int | None
    reason: str = ""

    @property
    def id(self) -> str:
        """The order's id."""
        return self.terms.id


def next_state(state: OrderState, event: Event) -> OrderState:
    """Return the state that follows; raises the refusal `order-state` where none does."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise refused("order-state", f"an order that is {state} takes no {event}")
    return found


def refused(name: str, detail: str) -> RefusedError:
    """Return the no of that name (`messages.problems`); it is raised before anything is written."""
    return RefusedError(name, detail, int(STATUS_OF[name]))
