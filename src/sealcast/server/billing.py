"""Owns the list of billing's desks: who carries out each of its operations."""

from sealcast.keyserver.calls import Handler
from sealcast.server.billing_assigning import AssignmentDesk, assignment_handlers
from sealcast.server.billing_closing import ClosingDesk, closing_handlers
from sealcast.server.billing_contracts import ContractDesk, contract_handlers
from sealcast.server.billing_customers import CustomerDesk, customer_handlers
from sealcast.server.billing_invoices import InvoiceDesk, invoice_handlers
from sealcast.server.billing_ledger import ledger_handlers
from sealcast.server.billing_payouts import payout_handlers
from sealcast.server.billing_settling import SettlementDesk, settlement_handlers
from sealcast.server.billing_shared import BillingShared
from sealcast.server.billing_tariffs import TariffDesk, tariff_handlers
from sealcast.server.billing_usage import UsageDesk, usage_handlers


def billing_handlers(shared: BillingShared) -> tuple[Handler, ...]:
    """Return the handlers of billing's operations."""
    return (
        *tariff_handlers(TariffDesk(shared)),
        *assignment_handlers(AssignmentDesk(shared)),
        *customer_handlers(CustomerDesk(shared)),
        *usage_handlers(UsageDesk(shared)),
        *closing_handlers(ClosingDesk(shared)),
        *invoice_handlers(InvoiceDesk(shared)),
        *ledger_handlers(shared),
        *contract_handlers(ContractDesk()),
        *settlement_handlers(SettlementDesk(shared)),
        *payout_handlers(),
    )
