"""Owns the table of billing's operations: all of them are the operator's."""

from sealcast.messages import answers, bookkeeping, charging, invoicing
from sealcast.messages.operation import Operation

TARIFF_ADD = Operation(
    "billing-tariff-add",
    "/v1/billing/tariffs/add",
    "operator",
    charging.TariffAddRequest,
    charging.TariffList,
)
TARIFF_LIST = Operation(
    "billing-tariff-list",
    "/v1/billing/tariffs/list",
    "operator",
    charging.TariffListRequest,
    charging.TariffList,
    is_remembered=False,
)
TARIFF_ASSIGN = Operation(
    "billing-tariff-assign",
    "/v1/billing/tariffs/assign",
    "operator",
    charging.TariffAssignRequest,
    charging.AssignmentList,
)
ASSIGNMENT_LIST = Operation(
    "billing-assignment-list",
    "/v1/billing/tariffs/assignments",
    "operator",
    charging.AssignmentListRequest,
    charging.AssignmentList,
    is_remembered=False,
)
CUSTOMER_SET = Operation(
    "billing-customer-set",
    "/v1/billing/customers/set",
    "operator",
    charging.CustomerSetRequest,
    charging.CustomerList,
)
CUSTOMER_LIST = Operation(
    "billing-customer-list",
    "/v1/billing/customers/list",
    "operator",
    charging.CustomerListRequest,
    charging.CustomerList,
    is_remembered=False,
)
USAGE_LIST = Operation(
    "billing-usage-list",
    "/v1/billing/usage/list",
    "operator",
    charging.UsageListRequest,
    charging.UsageList,
    is_remembered=False,
)
USAGE_AUDIT = Operation(
    "billing-usage-audit",
    "/v1/billing/usage/audit",
    "operator",
    charging.AuditRequest,
    charging.AuditAnswer,
    is_remembered=False,
)
INVOICE_CLOSE = Operation(
    "billing-invoice-close",
    "/v1/billing/invoices/close",
    "operator",
    invoicing.CloseRequest,
    invoicing.CloseAnswer,
)
INVOICE_LIST = Operation(
    "billing-invoice-list",
    "/v1/billing/invoices/list",
    "operator",
    invoicing.InvoiceListRequest,
    invoicing.InvoiceList,
    is_remembered=False,
)
INVOICE_SHOW = Operation(
    "billing-invoice-show",
    "/v1/billing/invoices/show",
    "operator",
    invoicing.DocumentRequest,
    invoicing.DocumentAnswer,
    is_remembered=False,
)
INVOICE_CREDIT = Operation(
    "billing-invoice-credit",
    "/v1/billing/invoices/credit",
    "operator",
    invoicing.CreditRequest,
    invoicing.Credited,
)
LEDGER_POST = Operation(
    "billing-ledger-post",
    "/v1/billing/ledger/post",
    "operator",
    bookkeeping.LedgerPostRequest,
    bookkeeping.LedgerPosted,
)
LEDGER_REVERSE = Operation(
    "billing-ledger-reverse",
    "/v1/billing/ledger/reverse",
    "operator",
    bookkeeping.LedgerReverseRequest,
    bookkeeping.LedgerPosted,
)
LEDGER_LIST = Operation(
    "billing-ledger-list",
    "/v1/billing/ledger/list",
    "operator",
    bookkeeping.LedgerListRequest,
    bookkeeping.LedgerList,
    is_remembered=False,
)
LEDGER_BALANCES = Operation(
    "billing-ledger-balances",
    "/v1/billing/ledger/balances",
    "operator",
    bookkeeping.BalancesRequest,
    bookkeeping.Balances,
    is_remembered=False,
)
LEDGER_CLOSE = Operation(
    "billing-ledger-close",
    "/v1/billing/ledger/close",
    "operator",
    bookkeeping.LedgerCloseRequest,
    answers.Done,
)
CONTRACT_ADD = Operation(
    "billing-contract-add",
    "/v1/billing/contracts/add",
    "operator",
    bookkeeping.ContractAddRequest,
    bookkeeping.ContractList,
)
CONTRACT_END = Operation(
    "billing-contract-end",
    "/v1/billing/contracts/end",
    "operator",
    bookkeeping.ContractEndRequest,
    bookkeeping.ContractList,
)
CONTRACT_LIST = Operation(
    "billing-contract-list",
    "/v1/billing/contracts/list",
    "operator",
    bookkeeping.ContractListRequest,
    bookkeeping.ContractList,
    is_remembered=False,
)
SETTLE = Operation(
    "billing-settle",
    "/v1/billing/statements/issue",
    "operator",
    bookkeeping.SettleRequest,
    bookkeeping.StatementList,
)
STATEMENT_LIST = Operation(
    "billing-statement-list",
    "/v1/billing/statements/list",
    "operator",
    bookkeeping.StatementListRequest,
    bookkeeping.StatementList,
    is_remembered=False,
)
STATEMENT_SHOW = Operation(
    "billing-statement-show",
    "/v1/billing/statements/show",
    "operator",
    invoicing.DocumentRequest,
    invoicing.DocumentAnswer,
    is_remembered=False,
)
PAYOUT = Operation(
    "billing-payout",
    "/v1/billing/statements/payout",
    "operator",
    bookkeeping.PayoutRequest,
    bookkeeping.Payout,
)

BILLING: tuple[Operation, ...] = (
    TARIFF_ADD,
    TARIFF_LIST,
    TARIFF_ASSIGN,
    ASSIGNMENT_LIST,
    CUSTOMER_SET,
    CUSTOMER_LIST,
    USAGE_LIST,
    USAGE_AUDIT,
    INVOICE_CLOSE,
    INVOICE_LIST,
    INVOICE_SHOW,
    INVOICE_CREDIT,
    LEDGER_POST,
    LEDGER_REVERSE,
    LEDGER_LIST,
    LEDGER_BALANCES,
    LEDGER_CLOSE,
    CONTRACT_ADD,
    CONTRACT_END,
    CONTRACT_LIST,
    SETTLE,
    STATEMENT_LIST,
    STATEMENT_SHOW,
    PAYOUT,
)
