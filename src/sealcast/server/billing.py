"""Owns the list of billing's desks: who carries out each of its operations."""

from sealcast.keyserver.calls import Handler
from sealcast.server.billing_contracts import ContractDesk, contract_handlers
from sealcast.server.billing_ledger import ledger_handlers
from sealcast.server.billing_payouts import payout_handlers
from sealcast.server.billing_settling import SettlementDesk, settlement_handlers
from sealcast.server.billing_shared import BillingShared


def billing_handlers(shared: BillingShared) -> tuple[Handler, ...]:
    """Return the handlers of billing's operations."""
    return (
        *ledger_handlers(shared),
        *contract_handlers(ContractDesk()),
        *settlement_handlers(SettlementDesk(shared)),
        *payout_handlers(),
    )
