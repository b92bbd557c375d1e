"""Owns the steps of a purchase: join, place, pay, have shares opened blindly, until the package opens here.

```
lead escrow: join ─► my open order, or place one ─► pay ─► open its share ─► receipt "issued"
other escrows, as many as are needed: join ─► open a share, upon that receipt
device agent: blind before each opening, unblind after it; no share and no key is ever on this side
```
Every step may be done again: whoever was interrupted begins from the start and goes on where it was, with the
same order and the same payment. Two programs that buy the same at once settle on one order.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from sealcast.client.offer import EscrowOffer, Offer, Part
from sealcast.core.errors import (
    AuthenticationError,
    FormatError,
    LocalError,
    RefusedError,
    RemoteError,
    SealcastError,
    UnreachableError,
)
from sealcast.device.chains import read_escrow
from sealcast.messages import agent, jose, operations_escrow
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import (
    OPENS_UPON,
    TYP_ESCROW_RECEIPT,
    Joined,
    OrderList,
    OrderOpened,
    OrderRow,
    OrderState,
    Receipt,
)
from sealcast.messages.operation import Operation

Answer = TypeVar("Answer", bound=msgspec.Struct)

PAYABLE: frozenset[OrderState] = frozenset(("placed", "paying"))
LAST: dict[OrderState, int] = {"paid": 1, "paying": 2, "placed": 3}
"""With which of several orders a purchase rather does not go on: what is opened comes before all these."""

OPENED: frozenset[OrderState] = frozenset(("issued", "disputed", "confirmed", "released"))
PAGES_MAX = 1_000
PAY_TRIES = 10
PAY_PAUSE_S = 1.0
"""Money that an escrow keeps elsewhere may take a moment; after these tries the command is typed again."""


class Agent(Protocol):
    """A device agent, as `client.agent.AgentClient` is one."""

    @property
    def presence(self) -> agent.Presence:
        """The device."""
        ...

    def blind(
        self,
        header: str,
        number: int,
        order: str,
        *,
        jti: str,
        nonce: str = "",
        licence: str | None = None,
        receipt: str | None = None,
        lead: str | None = None,
    ) -> agent.Blinded:
        """Return the request to open a part; asked again, the same c'."""
        ...

    def unblind(self, order: str, number: int, opened: bytes) -> agent.Progress:
        """Take what an escrow opened; raises AuthenticationError for one that lies."""
        ...

    def fault(self, order: str) -> str | None:
        """Return the device's word of what was wrong with an order."""
        ...

    def entitlements(self) -> list[agent.EntitlementRow]:
        """Return what opens here, or is about to."""
        ...


class Escrow(Protocol):
    """An escrow, asked as this device: `client.keyserver.KeyServerClient` is one."""

    async def expect(self, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
        """Ask with fields."""
        ...

    async def expect_signed(
        self, operation: Operation, kind: type[Answer], sign: Callable[[str, str], str]
    ) -> Answer:
        """Ask with a request that the agent makes."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """An escrow that did not bring its share, and why."""

    escrow: str
    error: SealcastError


@dataclass(frozen=True, slots=True)
class Opening:
    """What became of an order's shares: `have` of `threshold`, and whether the package opens here now."""

    have: int
    threshold: int
    is_complete: bool
    failures: tuple[Failure, ...] = ()
    fault: str | None = None
    """The device's word (JWS) that a share of the seller's is wrong: with it the money comes back."""


@dataclass(slots=True)
class Purchase:
    """Buys one package. Calling order: enter the context, `find`, `pay`, `open`, and maybe `confirm`.

    `connect` asks an escrow as the agent's device; `on_step` is told each step that was done, in words.
    """

    offer: Offer
    agent: Agent
    connect: Callable[[EscrowOffer], AbstractAsyncContextManager[Escrow]]
    on_step: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    revoked: frozenset[str] = frozenset()
    """Ids of escrows that the operator has revoked: they are asked for nothing."""
    _open: dict[str, Escrow] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def is_owned(self) -> bool:
        """Whether the package opens here already: this very one, not another that claims its id."""
        return any(row.digest == self.offer.digest and row.complete for row in self.agent.entitlements())

    async def find(self) -> OrderRow | None:
        """Return the order to go on with, None if one is to be placed.

        With a licence it is the licence's. One whose opening the agent waits for goes on although it is over:
        the escrow answers that again. Raises RefusedError (`order-state` for a licence's order that takes no
        opening any more), UnreachableError, AuthenticationError.
        """
        lead = await self._joined(self.offer.lead)
        if self.offer.order is not None:
            row = await self._one(lead, operations_escrow.ORDER_SHOW, self.offer.order)
            if not self._is_useful(row):
                raise RefusedError(
                    "order-state", f"the licence is for the order {row.order}, which is {row.state}"
                )
            return self._checked(row)
        rows = [row for row in await self.orders() if self._is_useful(row)]
        rows.sort(key=lambda row: (LAST.get(row.state, 0), row.number))
        return self._checked(rows[0]) if rows else None

    async def orders(self) -> list[OrderRow]:
        """Return all orders of this package under its lead's key, oldest first; raises as `find`."""
        lead, found, after = await self._joined(self.offer.lead), list[OrderRow](), 0
        for _ in range(PAGES_MAX):
            page = await lead.expect(
                operations_escrow.ORDER_LIST, OrderList, after=after, package=self.offer.package
            )
            found += [row for row in page.orders if row.key == self.offer.lead.key]
            if page.next is None:
                break
            after = page.next
        return found

    async def pay(self, order: OrderRow | None) -> OrderRow:
        """Place an order where there is none, and pay it; return it as it stands then.

        Raises as `find`: `not-covered` where the buyer's balance does not reach, UnreachableError where the
        money did not move in time, which goes on by itself.
        """
        lead = await self._joined(self.offer.lead)
        if order is None or order.state == "placed":
            self._check_enough()
        if order is None:
            terms = {"key": self.offer.lead.key, "package": self.offer.package}
            await lead.expect(operations_escrow.ORDER_PLACE, OrderList, **terms)
            # Another program may have placed one for the same: both go on with the same of them.
            order = await self.find()
            if order is None:
                raise AuthenticationError(f"{self.offer.lead.id} placed an order and does not list it")
            self.on_step(f"order {order.order} is placed")
        if order.state not in PAYABLE:
            return order
        for attempt in range(PAY_TRIES):
            if attempt:
                await self.sleep(PAY_PAUSE_S)
            row = await self._one(lead, operations_escrow.ORDER_PAY, order.order)
            if row.state not in PAYABLE:
                self.on_step(f"order {order.order} is paid; {self.offer.lead.id} holds the money")
                return self._checked(row)
        raise UnreachableError(
            f"the money for the order {order.order} is on its way at {self.offer.lead.id}; type the same"
            " command again"
        )

    async def open(self, order: OrderRow) -> Opening:
        """Have shares opened, the lead's first, until the package opens here or no escrow is left.

        Whatever keeps the others from it is in the answer. Raises what keeps the lead from it:
        UnreachableError or RefusedError; the order is paid then, may be gone on with or taken back.
        """
        have, failures = 0, list[Failure]()
        receipt: str | None = None
        for part in sorted(self.offer.parts, key=lambda part: (part.escrow, part.number)):
            escrow = self.offer.escrows[part.escrow]
            if part.escrow and receipt is None:
                receipt = await self._receipt(order)
            try:
                opened = await self._opened(part, order.order, receipt if part.escrow else None)
            except SealcastError as error:
                if not part.escrow and order.state not in OPENED:
                    raise
                failures.append(Failure(escrow.id, error))
                continue
            try:
                progress = self.agent.unblind(order.order, part.number, opened)
            except (RemoteError, LocalError, RefusedError) as error:
                failures.append(Failure(escrow.id, error))
                continue
            have = progress.have
            self.on_step(f"{escrow.id} has opened its share: {have} of {progress.threshold}")
            if progress.complete:
                return Opening(have, progress.threshold, is_complete=True, failures=tuple(failures))
        fault = self.agent.fault(order.order)
        return Opening(have, self.offer.threshold, False, tuple(failures), fault)

    async def show(self, order: OrderRow) -> OrderRow:
        """Return an order as it stands by now. Raises as `find`."""
        return await self._one(await self._joined(self.offer.lead), operations_escrow.ORDER_SHOW, order.order)

    async def confirm(self, order: OrderRow) -> OrderRow:
        """Say that the content is what was paid for: the money goes to the seller. Raises as `find`."""
        lead = await self._joined(self.offer.lead)
        row = await self._one(lead, operations_escrow.ORDER_CONFIRM, order.order)
        self.on_step(f"order {order.order} is confirmed; the money goes to {row.seller}")
        return row

    async def _opened(self, part: Part, order: str, receipt: str | None) -> bytes:
        """Return m for one part; raises as `KeyServerClient.call`, and what the agent refuses."""
        escrow = self.offer.escrows[part.escrow]
        client = await self._joined(escrow)

        def sign(jti: str, nonce: str) -> str:
            blinded = self.agent.blind(
                self.offer.header,
                part.number,
                order,
                jti=jti,
                nonce=nonce,
                licence=self.offer.licence,
                receipt=receipt,
                lead=None if receipt is None else self.offer.lead.certificate,
            )
            return blinded.request

        answer = await client.expect_signed(operations_escrow.ORDER_OPEN, OrderOpened, sign)
        if (answer.order, answer.key) != (order, escrow.key):
            raise AuthenticationError(f"{escrow.id} answered for another order than ours")
        return answer.opened

    async def _receipt(self, order: OrderRow) -> str:
        """Return the lead's receipt upon which other escrows open; raises AuthenticationError for none."""
        row = await self.show(order)
        signing = read_escrow(self.offer.lead.certificate, self.agent.presence.ca_pem).signing
        for token in reversed(row.receipts):
            receipt = decode(jose.verify(token, signing, typ=TYP_ESCROW_RECEIPT), Receipt)
            if (receipt.order, receipt.kind) == (order.order, OPENS_UPON):
                return token
        raise AuthenticationError(
            f"{self.offer.lead.id} gives no receipt that it has opened its share, so no other escrow does"
        )

    async def _joined(self, escrow: EscrowOffer) -> Escrow:
        """Return an escrow that knows this device by its certificates; RefusedError for a revoked one."""
        if escrow.id in self.revoked:
            raise _is_revoked(escrow.id)
        if escrow.id not in self._open:
            client = await self._stack.enter_async_context(self.connect(escrow))
            certificates = self.agent.presence.certificates
            joined = await client.expect(operations_escrow.ESCROW_JOIN, Joined, certificates=certificates)
            if joined.escrow != escrow.id:
                raise AuthenticationError(f"{escrow.id} is not at its address: {joined.escrow} answers there")
            self._open[escrow.id] = client
        return self._open[escrow.id]

    def _check_enough(self) -> None:
        """Raise RefusedError where so many escrows were revoked that a package would not open, once paid."""
        offer, gone = self.offer, [each.id for each in self.offer.escrows if each.id in self.revoked]
        of_device = offer.licence is not None or not offer.parts
        if gone and len(offer.escrows) - len(gone) < offer.threshold - of_device:
            raise _is_revoked(gone[0])

    async def _one(self, escrow: Escrow, operation: Operation, order: str) -> OrderRow:
        """Ask for one order and return it as it stands; raises as `KeyServerClient.call`."""
        found = (await escrow.expect(operation, OrderList, order=order)).orders
        if len(found) != 1 or found[0].order != order:
            raise FormatError(f"an escrow answered {operation.name} with another order than ours")
        return found[0]

    def _is_useful(self, row: OrderRow) -> bool:
        """Whether a purchase goes on with an order; rather with what was opened than with what was not."""
        if self._is_anothers(row.order):
            return False
        if row.state in PAYABLE or row.state in {"paid", "issued"}:
            return True
        waiting = {each.order for each in self.agent.entitlements() if not each.complete}
        return row.state in OPENED and row.order in waiting

    def _is_anothers(self, order: str) -> bool:
        """Whether an order has begun to open another package here, of the same id and under the same key."""
        return any(
            row.order == order and row.digest != self.offer.digest for row in self.agent.entitlements()
        )

    def _checked(self, row: OrderRow) -> OrderRow:
        """Return an order that is on the terms of the package; raises AuthenticationError for another.

        The price is the escrow's own word twice: as it certified its key, and as it would take it.
        """
        lead = self.offer.lead
        known = (self.offer.package, lead.key, self.offer.seller, lead.price_micro, lead.currency)
        if (row.package, row.key, row.seller, row.price_micro, row.currency) != known:
            raise AuthenticationError(
                f"{lead.id} has the order {row.order} on other terms than it certified: nothing is paid"
            )
        return row


def _is_revoked(escrow: str) -> RefusedError:
    return RefusedError(
        "certificate-revoked",
        f"the operator has revoked the escrow {escrow}: nothing is bought there; what it holds,"
        " ask back with sealcast order refund",
    )
