"""Owns money that comes in and goes out, as the operator notes it, and what the parties have."""

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import LocalError
from sealcast.escrow.payments import CASH, FEE, buyer_account, deposit, payout, seller_account
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger import reading
from sealcast.ledger.entries import Posting
from sealcast.ledger.money import currency
from sealcast.ledger.reading import BEHIND_ALL
from sealcast.messages import operations_escrow as operations
from sealcast.messages.escrow import BalanceList, BalanceRequest, BalanceRow, DepositRequest, PayoutRequest
from sealcast.server.escrow.shared import EscrowShared

HELD = "held"
"""All that is held for orders, in one row; each order's account begins so."""


class PayingDesk:
    """Notes payments, and shows balances."""

    def __init__(self, shared: EscrowShared) -> None:
        self._shared = shared

    def deposit(self, call: Call, request: DepositRequest) -> Reply:
        """Note that a buyer paid in; told twice under one reference it is one payment.

        Raises the refusals `unknown-device` and `exists`.
        """
        if store_principals.role_of(call.connection, request.buyer) != "device":
            raise refusal("unknown-device", f"this escrow knows no device {request.buyer[:80]!r}")
        paid = Posting(buyer_account(request.buyer), _coins(request.amount_micro, request.currency))
        is_new = deposit(
            call.connection, f"deposit-{request.reference}", paid, request.currency, call.wall_ms
        )
        if is_new:
            call.record("escrow-deposit", f"{request.reference} {request.buyer}")
        return Reply(BalanceList(balances=_rows(call.connection, paid.account)))

    def payout(self, call: Call, request: PayoutRequest) -> Reply:
        """Note that a seller, or a buyer, was paid out; a seller may have been removed since.

        Raises the refusals `not-covered` and `exists`.
        """
        is_buyer = store_principals.role_of(call.connection, request.party) == "device"
        account = buyer_account(request.party) if is_buyer else seller_account(request.party)
        paid = Posting(account, _coins(request.amount_micro, request.currency))
        is_new = payout(call.connection, f"payout-{request.reference}", paid, request.currency, call.wall_ms)
        if is_new:
            call.record("escrow-payout", f"{request.reference} {request.party}")
        return Reply(BalanceList(balances=_rows(call.connection, account)))

    async def read_balances(self, caller: Principal, request: BalanceRequest) -> BalanceList:
        """Read balances beside the writer; raises the refusal `wrong-role` for another party's."""
        if caller.role != "operator":
            if request.party not in {None, caller.id}:
                raise refusal("wrong-role", "what another party has is for operators")
            account = buyer_account(caller.id) if caller.role == "device" else seller_account(caller.id)
            names = [account]
        elif request.party is None:
            return await self._shared.reader.read(_own)
        else:
            names = [buyer_account(request.party), seller_account(request.party)]
        return await self._shared.reader.read(
            lambda connection: BalanceList(
                balances=[row for name in names for row in _rows(connection, name)]
            )
        )


def paying_handlers(shared: EscrowShared) -> tuple[Handler, ...]:
    """Return the handlers of money in and out."""
    desk = PayingDesk(shared)
    return (
        Handler(operations.DEPOSIT, desk.deposit),
        Handler(operations.PAYOUT, desk.payout),
        Handler(operations.BALANCE, _brought, ahead=desk.read_balances),
    )


def _brought(call: Call, _: object) -> Reply:
    """Hand on what was read ahead."""
    if not isinstance(call.ahead, msgspec.Struct):
        raise LocalError("nothing was read ahead")
    return Reply(call.ahead)


def _coins(amount_micro: int, code: str) -> int:
    """Return an amount that is paid in whole coins; raises the refusal `bad-request` for another."""
    if amount_micro <= 0 or amount_micro % currency(code).micro_per_minor:
        raise refusal("bad-request", f"in {code} one pays in whole coins, and at least one")
    return amount_micro


def _rows(connection: sa.Connection, account: str) -> list[BalanceRow]:
    """Return what a party has: what is owed to it, which the ledger has below 0."""
    return [
        BalanceRow(account=account, currency=each.currency, balance_micro=-each.balance_micro)
        for each in reading.balances(connection, account, account)
    ]


def _own(connection: sa.Connection) -> BalanceList:
    """Return the escrow's own accounts: cash, what it holds for orders, its fees."""
    cash = [
        BalanceRow(account=CASH, currency=each.currency, balance_micro=each.balance_micro)
        for each in reading.balances(connection, CASH, CASH)
    ]
    held: dict[str, int] = {}
    for each in reading.balances(connection, f"{HELD}:", f"{HELD}:{BEHIND_ALL}"):
        held[each.currency] = held.get(each.currency, 0) - each.balance_micro
    rows = [BalanceRow(account=HELD, currency=code, balance_micro=held[code]) for code in sorted(held)]
    return BalanceList(balances=[*cash, *rows, *_rows(connection, FEE)])
