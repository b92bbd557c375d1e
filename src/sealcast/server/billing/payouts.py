"""Owns payouts to broadcasters: what the ledger says they are owed, in whole coins, noted once."""

from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger import reading, store
from sealcast.ledger.entries import CASH, Entry, Posting, account
from sealcast.ledger.money import currency
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import EntryRow, Payout, PayoutRequest
from sealcast.server.billing.ledger import check_id


def pay(call: Call, request: PayoutRequest) -> Reply:
    """Note that a broadcaster was paid all that it is owed, rounded down to a coin; nothing if it owes.

    Raises the refusal `exists` if another entry has the id.
    """
    check_id(request.id)
    name, coin_micro = account("broadcaster", request.broadcaster), currency(request.currency).micro_per_minor
    earlier = store.find(call.connection, request.id)
    if earlier is not None:
        _check_same(earlier, name, request)
        paid_micro = sum(each.amount_micro for each in earlier.postings if each.account == name)
        left_micro = -reading.balance(call.connection, name, request.currency)
        return Reply(_payout(earlier, paid_micro // coin_micro, left_micro, is_new=False))
    owed_micro = -reading.balance(call.connection, name, request.currency)
    paid_minor = max(0, owed_micro // coin_micro)
    if not paid_minor:
        return Reply(_payout(None, 0, owed_micro, is_new=False))
    paid_micro = paid_minor * coin_micro
    effective_ms = store.open_at(call.connection, call.wall_ms)
    postings = (Posting(name, paid_micro), Posting(CASH, -paid_micro))
    entry = Entry(request.id, request.currency, effective_ms, postings, "payout")
    recorded = store.record(call.connection, entry, call.wall_ms)
    call.record("payout", f"{request.id} {request.broadcaster}")
    return Reply(_payout(recorded.row, paid_minor, owed_micro - paid_micro, is_new=True))


def payout_handlers() -> tuple[Handler, ...]:
    """Return the handler of payouts."""
    return (Handler(operations.PAYOUT, pay),)


def _check_same(earlier: EntryRow, name: str, request: PayoutRequest) -> None:
    """Raise a refusal unless an entry is a payout to the same broadcaster in the same currency."""
    accounts = [each.account for each in earlier.postings]
    if earlier.currency != request.currency or accounts != [name, CASH]:
        raise refusal("exists", f"another entry has the id {request.id}; see: sealcast billing ledger list")


def _payout(entry: EntryRow | None, paid_minor: int, left_micro: int, *, is_new: bool) -> Payout:
    return Payout(entry=entry, paid_minor=paid_minor, left_micro=left_micro, is_new=is_new)
