"""Owns how money follows a claim: at once in our own ledger, in steps where the account is elsewhere.

```
here        BEGIN  paid ─confirm► confirmed   entry order-…-end   confirmed ─moved► released  COMMIT
elsewhere   BEGIN  paid ─confirm► confirmed  COMMIT
            payments.release(…)                        asked until it is known that it was done
            BEGIN  confirmed ─moved► released  COMMIT
```
The claim is on record before any money moves, and nothing else can happen to the order until it is known
that it moved: whoever comes second finds the claim, and there is no way back from it.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.escrow import store_orders
from sealcast.escrow.house import House
from sealcast.escrow.orders import CLAIMS, Event, Order, OrderState, refused
from sealcast.escrow.payments import Payments, is_covered, move_elsewhere, move_here
from sealcast.escrow.rules import Actor, check_may, is_already


@dataclass(frozen=True, slots=True)
class Treasury:
    """Moves the money of orders; in the embedded ledger, unless there are `payments` elsewhere."""

    house: House
    payments: Payments | None = None

    @property
    def is_here(self) -> bool:
        """Whether money moves in the transaction of what moves it."""
        return self.payments is None

    def act(
        self,
        connection: sa.Connection,
        order: Order,
        event: Event,
        actor: Actor,
        now_ms: int,
        *,
        reason: str = "",
    ) -> Order:
        """Bring an event about, if it is this one's to bring about; told again, return the order as it is.

        Raises the refusals `order-state`, `too-many-refunds` and `not-covered`, before anything is written.
        """
        if is_already(order, event):
            return order
        check_may(order, event, actor)
        if event is Event.PAY:
            terms = order.terms
            store_orders.wait_for_others(connection, terms.buyer, terms.key)
            self.check_refunds(connection, terms.buyer, terms.key, terms.price_class, now_ms)
        if event is Event.PAY and self.is_here and not is_covered(connection, order.terms):
            raise refused("not-covered", f"{order.terms.buyer} has not enough for this order")
        changed = store_orders.change(connection, order, event, now_ms, self.house, reason=reason)
        return self.go_on(connection, changed, now_ms)

    def check_refunds(
        self, connection: sa.Connection, buyer: str, key: str, price_class: str, now_ms: int
    ) -> None:
        """Raise the refusal `too-many-refunds` for a buyer who pays and takes the price back too often."""
        refunds = self.house.refunds
        count = store_orders.count_back(connection, buyer, key, now_ms - refunds.within_ms)
        refunds.check(count, buyer, price_class)

    def go_on(self, connection: sa.Connection, order: Order, now_ms: int) -> Order:
        """Move what an order claims and note it, where that is done here; else return it as it is."""
        if not self.is_here or order.state not in CLAIMS:
            return order
        became = move_here(connection, order, now_ms)
        return store_orders.change(connection, order, became, now_ms, self.house)

    def ask(self, order: Order) -> Event | None:
        """Have money moved elsewhere, which may block, and return what became of it; None if it is not there.

        Raises UnreachableError if that is not known: then it is asked again.
        """
        return None if self.payments is None else move_elsewhere(self.payments, order)

    def note(self, connection: sa.Connection, order: Order, became: Event, now_ms: int) -> Order:
        """Note what became of a claim elsewhere; the refusal `order-state` if somebody else noted it."""
        return store_orders.change(connection, order, became, now_ms, self.house)

    def fall_silent(self, connection: sa.Connection, order_id: str, now_ms: int) -> Order:
        """End the state of an order that has waited long enough; else return it as it is."""
        order = store_orders.get(connection, order_id)
        event = self.house.timeouts.on_silence(order.state)
        if event is None or order.until_ms is None or order.until_ms > now_ms:
            return order
        reason = (
            "" if order.state is OrderState.PLACED else f"nobody said anything while it was {order.state}"
        )
        return self.act(connection, order, event, Actor.SILENCE, now_ms, reason=reason)
