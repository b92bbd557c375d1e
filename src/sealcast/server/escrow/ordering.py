"""Owns placing orders and looking at them: price and payee are the key's, whatever a package says."""

from sealcast.core.ports import Random
from sealcast.escrow import store_keys, store_orders, store_sellers
from sealcast.escrow.orders import Terms
from sealcast.escrow.payments import buyer_account, seller_account
from sealcast.escrow.rules import fee_micro
from sealcast.escrow.store_orders import Wanted
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.escrow import OrderList, OrderListRequest, OrderPlaceRequest, OrderRequest
from sealcast.messages.package import PACKAGE_ID_BYTES
from sealcast.server.escrow.order_rows import find_theirs, one, order_row, whose
from sealcast.server.escrow.shared import EscrowShared
from sealcast.server.paging import fill

ORDER_ID_BYTES = PACKAGE_ID_BYTES
PLACED_MAX = 100
"""Orders of one buyer that nobody has paid: who has more pays one, or waits until they expire."""


class OrderDesk:
    """Takes orders, and shows them."""

    def __init__(self, shared: EscrowShared) -> None:
        self._shared = shared

    def place(self, call: Call, request: OrderPlaceRequest) -> Reply:
        """Take an order under a key that takes any.

        Raises the refusals `unknown-key`, `not-admitted`, `busy` where too many are not paid, and
        `too-many-refunds`.
        """
        key = store_keys.find(call.connection, request.key)
        if key is None or not key.is_open:
            raise refusal("unknown-key", "this escrow has no such key, or it takes no new orders")
        if key.upon is not None:
            raise refusal("unknown-key", f"this key takes no orders: they are placed at {key.upon.escrow}")
        seller = store_sellers.find(call.connection, key.seller)
        if seller is None:
            raise refusal("not-admitted", f"{key.seller} does not sell here")
        buyer = call.caller.id
        # Names that make no account are refused here, before anything is written.
        buyer_account(buyer)
        seller_account(key.seller)
        if store_orders.count_placed(call.connection, buyer) >= PLACED_MAX:
            raise refusal(
                "busy", f"{PLACED_MAX} orders of {buyer} wait to be paid; pay one, or let it expire"
            )
        treasury = self._shared.treasury
        treasury.check_refunds(call.connection, buyer, key.id, key.price_class, call.wall_ms)
        terms = Terms(
            id=new_order_id(self._shared.random),
            key=key.id,
            package=request.package,
            buyer=buyer,
            seller=key.seller,
            price_class=key.price_class,
            price_micro=key.price_micro,
            fee_micro=fee_micro(key.price_micro, seller.fee_per_mille),
            currency=key.currency,
        )
        order = store_orders.place(call.connection, terms, call.wall_ms, self._shared.house)
        call.record("order-place", order.id)
        return one(call, self._shared.house, order)

    def show(self, call: Call, request: OrderRequest) -> Reply:
        """Show one of the caller's orders."""
        return one(call, self._shared.house, find_theirs(call, request.order))

    def list(self, call: Call, request: OrderListRequest) -> Reply:
        """Show a page of the caller's orders, by number."""
        wanted = Wanted(whose(call.caller), request.after, request.state, request.package)
        orders = store_orders.page(call.connection, wanted, request.limit + 1)
        rows = (order_row(call.connection, self._shared.house, each) for each in orders)
        page, has_more = fill(rows, request.limit)
        return Reply(OrderList(orders=page, next=page[-1].number if has_more else None))


def new_order_id(random: Random) -> str:
    """Return a fresh id that people can type: none begins with a hyphen, as options of a command do."""
    while (made := b64url_encode(random.bytes(ORDER_ID_BYTES))).startswith("-"):
        pass
    return made


def ordering_handlers(shared: EscrowShared) -> tuple[Handler, ...]:
    """Return the handlers of placing and looking at orders."""
    desk = OrderDesk(shared)
    return (
        Handler(operations.ORDER_PLACE, desk.place),
        Handler(operations.ORDER_SHOW, desk.show),
        Handler(operations.ORDER_LIST, desk.list),
    )
