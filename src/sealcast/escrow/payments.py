"""Owns how an order's money moves: the port to an account elsewhere, and our own ledger as the default.

```
deposit   escrow:cash   + 10   buyer:TV-1         - 10      what is owed to somebody is below 0
hold      buyer:TV-1    + 10   held:ORDER         - 10      order-ORDER-hold
release   held:ORDER    + 10   seller:ACME - 9, escrow:fee - 1  ┐ order-ORDER-end: one id for both ends,
refund    held:ORDER    + 10   buyer:TV-1         - 10      ┘ so the ledger itself takes only one of them
payout    seller:ACME   +  9   escrow:cash        -  9
```
An order's entries have ids of the business's own: told twice, each is one. What costs nothing has none.
"""

from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from sealcast.core.errors import LocalError
from sealcast.escrow.orders import Event, Order, OrderState, Terms, refused
from sealcast.ledger import reading, store
from sealcast.ledger.entries import Entry, Posting, account
from sealcast.messages.bookkeeping import EntryRow

CASH, FEE = "escrow:cash", "escrow:fee"
PREFIXES = ("order-", "deposit-", "payout-")
"""How the ids of an escrow's entries begin."""


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be moved for an order; `attempt` is the claim's version, which no two claims share."""

    order: str
    attempt: int
    buyer: str
    seller: str
    price_micro: int
    fee_micro: int
    currency: str


class Payments(Protocol):
    """An account elsewhere, such as a bank's. Calls may block for some seconds.

    Each call may be repeated, also by another process after a crash, and may arrive late: an answer that was
    given for an (order, attempt) is given again, whatever has changed since, and an order's money is held
    once and ends once. Each may raise UnreachableError, which says nothing of what was done: it is repeated.
    """

    def hold(self, move: Move) -> bool:
        """Move the price from the buyer's account to the order's; False if he has not enough."""
        ...

    def release(self, move: Move) -> None:
        """Move the price from the order's account to the seller's, but for the fee."""
        ...

    def refund(self, move: Move) -> None:
        """Move the price from the order's account to the buyer's."""
        ...


def move_of(order: Order) -> Move:
    """Return what is to be moved for an order that is a claim."""
    terms = order.terms
    return Move(
        terms.id,
        order.version,
        terms.buyer,
        terms.seller,
        terms.price_micro,
        terms.fee_micro,
        terms.currency,
    )


def move_elsewhere(payments: Payments, order: Order) -> Event:
    """Have an account elsewhere move what an order claims, and return what became of it; may block.

    Raises UnreachableError if that is not known, and LocalError for an order that claims nothing.
    """
    move = move_of(order)
    if order.state is OrderState.PAYING:
        return Event.HELD if payments.hold(move) else Event.NOT_COVERED
    if order.state is OrderState.CONFIRMED:
        payments.release(move)
    elif order.state is OrderState.REFUNDING:
        payments.refund(move)
    else:
        raise LocalError(f"an order that is {order.state} moves no money")
    return Event.MOVED


def move_here(connection: sa.Connection, order: Order, now_ms: int) -> Event:
    """Do as `move_elsewhere` in the embedded ledger, in the transaction under way; a millisecond.

    Raises LocalError, which undoes the unit of work, where an order's end stands without its beginning, or
    twice.
    """
    terms = order.terms
    if order.state is OrderState.PAYING:
        if not is_covered(connection, terms):
            return Event.NOT_COVERED
        _record(connection, _entry(terms, "hold", (buyer_account(terms.buyer), _held(terms))), now_ms)
        _check_not_overdrawn(connection, buyer_account(terms.buyer), terms.currency)
        return Event.HELD
    if order.state not in {OrderState.CONFIRMED, OrderState.REFUNDING}:
        raise LocalError(f"an order that is {order.state} moves no money")
    if terms.price_micro and store.find(connection, _id(terms, "hold")) is None:
        raise LocalError(f"the price of order {terms.id} was not held in this ledger")
    is_release = order.state is OrderState.CONFIRMED
    to = seller_account(terms.seller) if is_release else buyer_account(terms.buyer)
    fee = terms.fee_micro if is_release else 0
    _record(connection, _entry(terms, "end", (_held(terms), to), fee), now_ms)
    return Event.MOVED


def is_covered(connection: sa.Connection, terms: Terms) -> bool:
    """Whether a buyer has the price of an order, or it is held already."""
    if not terms.price_micro or store.find(connection, _id(terms, "hold")) is not None:
        return True
    has_micro = -reading.balance(connection, buyer_account(terms.buyer), terms.currency)
    return has_micro >= terms.price_micro


def buyer_account(party: str) -> str:
    """Return the account of what a buyer has paid in; UsageError for an id that makes none."""
    return account("buyer", party)


def seller_account(party: str) -> str:
    """Return the account of what a seller has earned; UsageError for an id that makes none."""
    return account("seller", party)


def deposit(connection: sa.Connection, entry_id: str, paid: Posting, currency: str, now_ms: int) -> bool:
    """Note that money came in for an account, `paid` above 0; False if that was told before.

    Raises the refusal `exists` for another deposit of that id.
    """
    postings = (Posting(CASH, paid.amount_micro), Posting(paid.account, -paid.amount_micro))
    return _once(connection, Entry(entry_id, currency, now_ms, postings, "deposit"), now_ms)


def payout(connection: sa.Connection, entry_id: str, paid: Posting, currency: str, now_ms: int) -> bool:
    """Note that an account was paid out, `paid` above 0; False if that was told before.

    Raises the refusals `not-covered` for more than it has, and `exists` for another payout of that id.
    """
    postings = (Posting(paid.account, paid.amount_micro), Posting(CASH, -paid.amount_micro))
    entry = Entry(entry_id, currency, now_ms, postings, "payout")
    if store.find(connection, entry_id) is None:
        has_micro = -reading.balance(connection, paid.account, currency)
        if has_micro < paid.amount_micro:
            raise refused("not-covered", f"{paid.account} has {has_micro} micro-units in {currency}")
    is_new = _once(connection, entry, now_ms)
    _check_not_overdrawn(connection, paid.account, currency)
    return is_new


def _once(connection: sa.Connection, entry: Entry, now_ms: int) -> bool:
    earlier = store.find(connection, entry.id)
    if earlier is not None:
        if not _says(earlier, entry):
            raise refused("exists", f"another entry has the id {entry.id}")
        return False
    _record(connection, entry, now_ms)
    return True


def _check_not_overdrawn(connection: sa.Connection, account_name: str, currency: str) -> None:
    """Raise LocalError, which undoes the unit of work, if an account has less than nothing by now.

    Entries have numbers without gaps: where two programs write to one database, whoever is second either sees
    here what the first one took, or is refused the number that both wanted.
    """
    if reading.balance(connection, account_name, currency) > 0:
        raise LocalError(f"{account_name} was drawn on by somebody else at the same moment; ask again")


def _id(terms: Terms, what: str) -> str:
    return f"order-{terms.id}-{what}"


def _held(terms: Terms) -> str:
    return account("held", terms.id)


def _entry(terms: Terms, what: str, way: tuple[str, str], fee_micro: int = 0) -> Entry | None:
    """Return the entry that moves an order's price along a way, but for a fee; None if it is free."""
    if not terms.price_micro:
        return None
    source, to = way
    parts = ((source, terms.price_micro), (to, fee_micro - terms.price_micro), (FEE, -fee_micro))
    postings = tuple(Posting(name, amount) for name, amount in parts if amount)
    return Entry(_id(terms, what), terms.currency, 0, postings, f"package {terms.package}")


def _record(connection: sa.Connection, entry: Entry | None, now_ms: int) -> None:
    """Record an entry as of now, or of when the books are open, unless it stands there already."""
    if entry is None:
        return
    earlier = store.find(connection, entry.id)
    if earlier is not None:
        if not _says(earlier, entry):
            raise LocalError(f"entry {entry.id} moved that money elsewhere: nothing is moved twice")
        return
    effective_ms = store.open_at(connection, now_ms)
    store.record(
        connection, Entry(entry.id, entry.currency, effective_ms, entry.postings, entry.memo), now_ms
    )


def _says(row: EntryRow, entry: Entry) -> bool:
    """Whether an entry on record says the same as this one, whenever that was."""
    then = store.entry_of(row)
    return then.is_same_as(
        Entry(entry.id, entry.currency, then.effective_ms, entry.postings, entry.memo, entry.corrects)
    )
