"""Owns the table of an escrow's operations: name, path, who may call it, request and answer."""

from sealcast.messages import escrow
from sealcast.messages.operation import Operation

ESCROW_JOIN = Operation("escrow-join", "/v1/escrow/join", "newcomer", escrow.JoinRequest, escrow.Joined)
SELLER_ADMIT = Operation(
    "seller-admit", "/v1/escrow/sellers/admit", "operator", escrow.SellerAdmitRequest, escrow.SellerList
)
SELLER_LIST = Operation(
    "seller-list", "/v1/escrow/sellers/list", "operator", escrow.SellerListRequest, escrow.SellerList
)
ESCROW_KEY_ADD = Operation(
    "escrow-key-add", "/v1/escrow/keys/add", "seller", escrow.EscrowKeyAddRequest, escrow.EscrowKeyList
)
ESCROW_KEY_LIST = Operation(
    "escrow-key-list",
    "/v1/escrow/keys/list",
    "seller-or-operator",
    escrow.EscrowKeyListRequest,
    escrow.EscrowKeyList,
)
ESCROW_KEY_CLOSE = Operation(
    "escrow-key-close", "/v1/escrow/keys/close", "seller", escrow.EscrowKeyCloseRequest, escrow.EscrowKeyList
)
ORDER_PLACE = Operation(
    "order-place", "/v1/escrow/orders/place", "device", escrow.OrderPlaceRequest, escrow.OrderList
)
ORDER_PAY = Operation("order-pay", "/v1/escrow/orders/pay", "device", escrow.OrderRequest, escrow.OrderList)
ORDER_OPEN = Operation(
    "order-open",
    "/v1/escrow/orders/open",
    "device",
    escrow.OrderOpenRequest,
    escrow.OrderOpened,
    is_remembered=False,
)
ORDER_CONFIRM = Operation(
    "order-confirm", "/v1/escrow/orders/confirm", "device", escrow.OrderRequest, escrow.OrderList
)
ORDER_REFUND = Operation(
    "order-refund",
    "/v1/escrow/orders/refund",
    "device-or-seller",
    escrow.OrderReasonRequest,
    escrow.OrderList,
)
ORDER_DISPUTE = Operation(
    "order-dispute", "/v1/escrow/orders/dispute", "device", escrow.OrderReasonRequest, escrow.OrderList
)
ORDER_RESOLVE = Operation(
    "order-resolve", "/v1/escrow/orders/resolve", "operator", escrow.OrderResolveRequest, escrow.OrderList
)
ORDER_SHOW = Operation(
    "order-show",
    "/v1/escrow/orders/show",
    "device-or-seller-or-operator",
    escrow.OrderRequest,
    escrow.OrderList,
    is_remembered=False,
)
ORDER_LIST = Operation(
    "order-list",
    "/v1/escrow/orders/list",
    "device-or-seller-or-operator",
    escrow.OrderListRequest,
    escrow.OrderList,
    is_remembered=False,
)
NOTICE_LIST = Operation(
    "notice-list",
    "/v1/escrow/notices",
    "device-or-seller-or-operator",
    escrow.NoticeListRequest,
    escrow.NoticeList,
    is_remembered=False,
)
DEPOSIT = Operation(
    "escrow-deposit", "/v1/escrow/deposits", "operator", escrow.DepositRequest, escrow.BalanceList
)
PAYOUT = Operation(
    "escrow-payout", "/v1/escrow/payouts", "operator", escrow.PayoutRequest, escrow.BalanceList
)
BALANCE = Operation(
    "escrow-balance",
    "/v1/escrow/balances",
    "device-or-seller-or-operator",
    escrow.BalanceRequest,
    escrow.BalanceList,
    is_remembered=False,
)

DEVICE_SIGNS = (
    "escrow-join",
    "order-place",
    "order-pay",
    "order-confirm",
    "order-refund",
    "order-dispute",
    "order-show",
    "order-list",
    "notice-list",
    "escrow-balance",
)
"""What a device agent signs on request; openings it puts together itself, and nothing else is signed."""

ESCROW = (
    ESCROW_JOIN,
    SELLER_ADMIT,
    SELLER_LIST,
    ESCROW_KEY_ADD,
    ESCROW_KEY_LIST,
    ESCROW_KEY_CLOSE,
    ORDER_PLACE,
    ORDER_PAY,
    ORDER_OPEN,
    ORDER_CONFIRM,
    ORDER_REFUND,
    ORDER_DISPUTE,
    ORDER_RESOLVE,
    ORDER_SHOW,
    ORDER_LIST,
    NOTICE_LIST,
    DEPOSIT,
    PAYOUT,
    BALANCE,
)
"""All of them."""
