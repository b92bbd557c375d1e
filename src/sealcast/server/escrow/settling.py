"""Owns paying and ending orders: what buyer, seller and operator may say, and a device's word on a share."""

from sealcast.escrow.orders import Event, Order
from sealcast.escrow.rules import Actor
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages import jose
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import (
    TYP_FAULT,
    Fault,
    OrderReasonRequest,
    OrderRequest,
    OrderResolveRequest,
)
from sealcast.server.escrow.order_rows import find_theirs, one
from sealcast.server.escrow.shared import EscrowShared

SELLERS = frozenset({"share", "key"})
"""What nobody but the seller can have made wrong: the price goes back by the device's word."""


class SettlingDesk:
    """Carries out what is said to an order that was placed."""

    def __init__(self, shared: EscrowShared) -> None:
        self._shared = shared

    def pay(self, call: Call, request: OrderRequest) -> Reply:
        """Hold the price; where money is elsewhere the answer is `paying`, and the order shows what came."""
        return self._act(call, find_theirs(call, request.order), Event.PAY, Actor.BUYER)

    def confirm(self, call: Call, request: OrderRequest) -> Reply:
        """Release the price to the seller."""
        return self._act(call, find_theirs(call, request.order), Event.CONFIRM, Actor.BUYER)

    def refund(self, call: Call, request: OrderReasonRequest) -> Reply:
        """Give the price back: by the seller, by a buyer who opened nothing, or by his device's word."""
        order = find_theirs(call, request.order)
        if call.caller.role == "seller":
            return self._act(call, order, Event.REFUND, Actor.SELLER, _checked(request.reason))
        fault = _read_fault(call, order, request.fault)
        if fault is not None and fault.what in SELLERS:
            reason = _checked(request.reason) or _told(fault)
            return self._act(call, order, Event.REFUND, Actor.DEVICE, reason)
        return self._act(call, order, Event.REFUND, Actor.BUYER, _checked(request.reason))

    def dispute(self, call: Call, request: OrderReasonRequest) -> Reply:
        """Object to what was opened: silence does not release the price any more, for a while."""
        order = find_theirs(call, request.order)
        fault = _read_fault(call, order, request.fault)
        reason = _checked(request.reason)
        if not reason and fault is not None:
            reason = f"the device says: {_told(fault)}"
        return self._act(call, order, Event.DISPUTE, Actor.BUYER, reason)

    def resolve(self, call: Call, request: OrderResolveRequest) -> Reply:
        """End a dispute."""
        event = Event.CONFIRM if request.outcome == "release" else Event.REFUND
        order = find_theirs(call, request.order)
        return self._act(call, order, event, Actor.OPERATOR, _checked(request.reason))

    def _act(self, call: Call, order: Order, event: Event, actor: Actor, reason: str = "") -> Reply:
        treasury = self._shared.treasury
        changed = treasury.act(call.connection, order, event, actor, call.wall_ms, reason=reason)
        if changed.version != order.version:
            call.record(f"order-{event}", order.id)
            if not treasury.is_here:
                self._shared.on_claim()
        return one(call, self._shared.house, changed)


def settling_handlers(shared: EscrowShared) -> tuple[Handler, ...]:
    """Return the handlers of paying and ending orders."""
    desk = SettlingDesk(shared)
    return (
        Handler(operations.ORDER_PAY, desk.pay),
        Handler(operations.ORDER_CONFIRM, desk.confirm),
        Handler(operations.ORDER_REFUND, desk.refund),
        Handler(operations.ORDER_DISPUTE, desk.dispute),
        Handler(operations.ORDER_RESOLVE, desk.resolve),
    )


def _read_fault(call: Call, order: Order, token: str | None) -> Fault | None:
    """Return what the buyer's device found wrong; AuthenticationError if it did not sign it.

    Raises the refusal `bad-request` for a word on another order, key, package or device.
    """
    if token is None:
        return None
    fault = decode(jose.verify(token, call.caller.signing, typ=TYP_FAULT), Fault)
    terms = order.terms
    said = fault.order, fault.key, fault.package, fault.device
    if said != (terms.id, terms.key, terms.package, terms.buyer):
        raise refusal("bad-request", "the device's word is on another order, key, package or device")
    return fault


def _told(fault: Fault) -> str:
    return {
        "share": f"share {fault.number} does not fit what the seller signed",
        "key": f"{fault.number} shares fit what the seller signed, and give no content key",
        "chunk": f"chunk {fault.number} is wrong",
    }[fault.what]


def _checked(reason: str) -> str:
    if not reason.isprintable():
        raise refusal("bad-request", "a reason is one line without control characters")
    return reason
