"""Owns the list of billing's desks: who carries out each of its operations."""

from sealcast.keyserver.calls import Handler
from sealcast.server.billing.assigning import AssignmentDesk, assignment_handlers
from sealcast.server.billing.closing import ClosingDesk, closing_handlers
from sealcast.server.billing.contracts import ContractDesk, contract_handlers
from sealcast.server.billing.customers import CustomerDesk, customer_handlers
from sealcast.server.billing.invoices import InvoiceDesk, invoice_handlers
from sealcast.server.billing.ledger import ledger_handlers
from sealcast.server.billing.payouts import payout_handlers
from sealcast.server.billing.settling import SettlementDesk, settlement_handlers
from sealcast.server.billing.shared import BillingShared
from sealcast.server.billing.tariffs import TariffDesk, tariff_handlers
from sealcast.server.billing.usage import UsageDesk, usage_handlers


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
