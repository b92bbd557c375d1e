"""Owns blind openings: whether an order may open c', the work beside the writer, and the record of it.

```
certificate current, identified, not revoked? list of revoked ones young enough?
  ─► order here: the caller's, of this key, paid?        ─┐
  ─► order at another escrow: its receipt, of the key that ours goes with? ─┴► opened before? same c': same m
  ─► c' fit? ─► c'^d, beside the writer ─► all asked once more, in the transaction ─► c', m, state, receipt
```
One order opens one c' here, for ever; so whatever else is opened has been paid for as well.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding

from sealcast.core.errors import RefusedError, RemoteError
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.device.certified import read_certificate
from sealcast.device.chains import is_identified
from sealcast.escrow import store_keys, store_openings, store_orders, store_receipts
from sealcast.escrow.house import House
from sealcast.escrow.orders import Event, Order, OrderState
from sealcast.escrow.store_keys import EscrowKey
from sealcast.escrow.store_openings import Opening
from sealcast.keyserver import store_certificates
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages import operations_escrow
from sealcast.messages.escrow import LeadKey, OrderOpened, OrderOpenRequest, Receipt
from sealcast.server.escrow.blinding import open_blinded, read_blinded
from sealcast.server.escrow.keyring import Keyring
from sealcast.server.escrow.leads import read_lead
from sealcast.server.escrow.revocation import RevokedParties
from sealcast.storage.reading import Reader

AT_ONCE = os.cpu_count() or 1
WAITING_MAX = 256
"""Openings that wait for a core: the last one less than two seconds."""

RETRY_AFTER_S = 1.0
_NOT_PAID = frozenset({OrderState.PLACED, OrderState.PAYING, OrderState.EXPIRED})


class Computed(msgspec.Struct, frozen=True):
    """What is there before the transaction: m, None where it was opened before."""

    opened: bytes | None

    def __repr__(self) -> str:
        return "Computed()"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an opening is by: our order, or another escrow's receipt; and what it opened before."""

    key: EscrowKey
    number: int
    lead: str
    order: Order | None
    receipt: Receipt | None
    stored: Opening | None


class OpeningDesk:
    """Opens blindly for orders that were paid; `ca_pem` is the operator's CA."""

    def __init__(
        self,
        *,
        house: House,
        ca_pem: str,
        keyring: Keyring,
        revoked: RevokedParties,
        reader: Reader,
        random: Random,
        clock: Clock,
        on_opened: Callable[[int], None],
    ) -> None:
        """`on_opened` is told how many nanoseconds an opening took that was worked out, with its wait."""
        self._house = house
        self._ca_pem = ca_pem
        self._keyring = keyring
        self._revoked = revoked
        self._reader = reader
        self._random = random
        self._clock = clock
        self._on_opened = on_opened
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many openings wait for a core, or have one."""
        return self._waiting

    async def compute(self, caller: Principal, request: OrderOpenRequest) -> Computed:
        """Check whether this may be opened, and work out m unless that was done before.

        Raises the refusals that `open` has, and `busy` if too many wait.
        """
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        plan = await self._reader.read(partial(self._plan, caller=caller, request=request, wall_ms=wall_ms))
        if plan.stored is not None:
            return Computed(None)
        if self._waiting >= WAITING_MAX:
            raise _busy("too many openings wait")
        self._waiting += 1
        began_ns = self._clock.monotonic_ns()
        try:
            async with self._turns:
                computed = Computed(await asyncio.to_thread(self._open, plan))
        finally:
            self._waiting -= 1
        self._on_opened(self._clock.monotonic_ns() - began_ns)
        return computed

    def open(self, call: Call, request: OrderOpenRequest) -> Reply:
        """Record what was opened and give it out; asked again for the same c', give out the same.

        Raises the refusals `unknown-order`, `not-your-order`, `not-paid`, `order-state`, `order-used`,
        `unknown-key`, `opening-refused`, `bad-request`, `not-identified`, `certificate-revoked` and
        `revocation-unknown`, before anything is written.
        """
        plan = self._plan(call.connection, call.caller, request, call.wall_ms)
        if plan.stored is not None:
            return _reply(plan.stored)
        opened = call.ahead.opened if isinstance(call.ahead, Computed) else None
        if opened is None:
            raise _busy("another opening of this order was under way")
        opening = Opening(
            lead=plan.lead,
            order=request.order,
            key=plan.key.id,
            buyer=call.caller.id,
            blinded=request.blinded,
            opened=opened,
            at_ms=call.wall_ms,
        )
        store_openings.add(call.connection, opening)
        if plan.order is not None:
            store_orders.change(call.connection, plan.order, Event.OPEN, call.wall_ms, self._house)
        elif plan.receipt is not None:
            attested = self._attested(plan.receipt, plan.key, call.wall_ms)
            store_receipts.record(call.connection, self._house, attested, plan.lead)
        call.record("order-open", f"{request.order} of {plan.lead} {plan.key.id}")
        return _reply(opening)

    def _plan(
        self, connection: sa.Connection, caller: Principal, request: OrderOpenRequest, wall_ms: int
    ) -> _Plan:
        """Return what this opens by; raises a refusal where it may not."""
        self._check_certificate(connection, caller, request, wall_ms)
        order = store_orders.find(connection, request.order)
        receipt = None
        if order is not None:
            key = self._key_of_order(connection, caller, request, order)
            lead = self._house.id
        elif request.receipt is not None and request.lead is not None:
            key = _key(connection, request.key)
            receipt = read_lead(
                request,
                self._ca_pem,
                self._revoked,
                operator=self._house.operator,
                own_id=self._house.id,
                wall_ms=wall_ms,
            )
            _check_receipt(receipt, caller, key)
            lead = receipt.escrow
        else:
            raise refusal("unknown-order", "this escrow has no such order, and no receipt of another came")
        number = read_blinded(request.blinded, int.from_bytes(key.modulus, "big"))
        stored = store_openings.find(connection, lead, request.order)
        if stored is not None and (stored.key, stored.blinded) != (key.id, request.blinded):
            raise refusal("order-used", "this order has opened something else; place another one")
        if stored is None and order is not None:
            _check_state(order)
        return _Plan(key, number, lead, order, receipt, stored)

    def _check_certificate(
        self, connection: sa.Connection, caller: Principal, request: OrderOpenRequest, wall_ms: int
    ) -> None:
        """Raise a refusal unless the caller shows its present certificate, and that is good."""
        try:
            certificate = read_certificate(request.certificate)
        except RemoteError as error:
            raise refusal("bad-request", str(error)) from error
        newest = store_certificates.newest(connection, caller.id)
        if newest is None or certificate.public_bytes(Encoding.DER) != newest[0]:
            raise refusal(
                "opening-refused", f"this is not the certificate under which {caller.id} joined last"
            )
        if self._revoked.has(f"{certificate.serial_number:x}"):
            raise refusal("certificate-revoked", f"the certificate of {caller.id} was revoked")
        if not is_identified(certificate):
            raise refusal("not-identified", f"the operator has not identified {caller.id}")
        self._revoked.check_fresh(wall_ms)

    def _key_of_order(
        self, connection: sa.Connection, caller: Principal, request: OrderOpenRequest, order: Order
    ) -> EscrowKey:
        """Return the key that an order here is of; raises a refusal for somebody else's, or another key."""
        if order.terms.buyer != caller.id:
            raise refusal("not-your-order", "the order is another buyer's")
        if order.terms.key != request.key:
            raise refusal("opening-refused", "the order is of another key, and opens nothing under this one")
        return _key(connection, order.terms.key)

    def _open(self, plan: _Plan) -> bytes:
        modulus = int.from_bytes(plan.key.modulus, "big")
        return open_blinded(self._keyring.open(plan.key), modulus, plan.number, self._random)

    def _attested(self, receipt: Receipt, key: EscrowKey, wall_ms: int) -> Receipt:
        """Return what we attest of an opening upon another escrow's receipt."""
        return msgspec.structs.replace(
            receipt,
            escrow=self._house.id,
            kind="opened",
            at_ms=wall_ms,
            key=key.id,
            fee_micro=0,
            reason=f"upon a receipt of {receipt.escrow}",
        )


def opening_handler(desk: OpeningDesk) -> Handler:
    """Return the handler of `order-open`."""
    return Handler(operations_escrow.ORDER_OPEN, desk.open, ahead=desk.compute)


def _key(connection: sa.Connection, key_id: str) -> EscrowKey:
    key = store_keys.find(connection, key_id)
    if key is None:
        raise refusal("unknown-key", "this escrow has no such key")
    return key


def _check_state(order: Order) -> None:
    """Raise a refusal for an order that is not paid, or not any more."""
    if order.state in _NOT_PAID:
        raise refusal("not-paid", f"the order is {order.state}; it opens once it is paid")
    if order.state is not OrderState.PAID:
        raise refusal("order-state", f"the order is {order.state}; it opens nothing any more")


def _check_receipt(receipt: Receipt, caller: Principal, key: EscrowKey) -> None:
    """Raise a refusal for a receipt of somebody else's order, or of one that pays for less than our key."""
    if receipt.buyer != caller.id:
        raise refusal("not-your-order", "the receipt is of another buyer's order")
    if receipt.seller != key.seller:
        raise refusal("opening-refused", f"the receipt is of {receipt.seller}'s order, not of {key.seller}'s")
    if key.upon != LeadKey(escrow=receipt.escrow, key=receipt.key):
        raise refusal("opening-refused", "this key does not open upon orders under the receipt's key")
    if receipt.currency != key.currency or receipt.price_micro < key.price_micro:
        raise refusal("opening-refused", "the receipt is of an order that costs less than this key's")


def _reply(opening: Opening) -> Reply:
    return Reply(OrderOpened(order=opening.order, key=opening.key, opened=opening.opened))


def _busy(why: str) -> RefusedError:
    no = refusal("busy", f"{why}; ask again in a second")
    return RefusedError(no.type, no.detail, no.status, retry_after_s=RETRY_AFTER_S)
