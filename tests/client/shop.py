"""Owns escrows and a device agent in memory, and faults between any two steps of a purchase.

They keep to the rules that a buyer relies on: one payment an order, one opening an order and escrow, others
than the lead only upon its receipt, an agent that asks for the same again as long as it has no answer.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from sealcast.client.offer import EscrowOffer, Offer, Part
from sealcast.client.purchase import Purchase
from sealcast.core.errors import AuthenticationError, RefusedError, UnreachableError
from sealcast.messages import agent, jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.escrow import TYP_ESCROW_RECEIPT, Joined, OrderList, OrderOpened, OrderRow, Receipt
from sealcast.messages.operation import Operation
from sealcast.messages.package import header_digest
from sealpack import makers

PRICE, CURRENCY, PACKAGE = 4_990_000, "EUR", "P" * 22
LEAD, HEADER = "escrow-0", "header"


class Weather:
    """What goes wrong: the call of number `fails_at`, before it counts or after (its answer is lost)."""

    def __init__(self, fails_at: int | None = None, *, after: bool = False) -> None:
        self.fails_at, self._after = fails_at, after
        self.calls = 0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Run a step in this weather."""
        number, self.calls = self.calls, self.calls + 1
        if number == self.fails_at and not self._after:
            raise UnreachableError("the way there is broken")
        yield
        if number == self.fails_at:
            raise UnreachableError("the way back is broken")


@dataclass
class Money:
    """A buyer's balance, and each order that it has paid for."""

    balance: int = 10 * PRICE
    paid: list[str] = field(default_factory=list)


class House:
    """One escrow."""

    def __init__(self, name: str, weather: Weather, money: Money) -> None:
        self.made = makers.operator().escrow(name, key=0)
        self.name, self.answers_as, self.key = name, name, f"key-of-{name}"
        self.weather, self.money = weather, money
        self.orders: dict[str, OrderRow] = {}
        self.openings: dict[str, bytes] = {}
        self.joined: set[str] = set()
        self.is_away, self.lies, self.price, self.slow = False, False, PRICE, 0

    @property
    def offer(self) -> EscrowOffer:
        """What a package says of it."""
        where = (f"https://{self.name}.example",)
        return EscrowOffer(self.name, where, self.made.certificate, self.key, "film", PRICE, CURRENCY)

    async def expect(self, operation: Operation, _: type[Any], **fields: Any) -> Any:
        """Answer a request."""
        with self.weather.step():
            if self.is_away:
                raise UnreachableError(f"{self.name} is away")
            return self._answer(operation.name, **fields)

    async def expect_signed(
        self, operation: Operation, kind: type[Any], sign: Callable[[str, str], str]
    ) -> Any:
        """Answer a request that the agent makes."""
        return await self.expect(operation, kind, token=sign("jti", "nonce"))

    def _answer(self, name: str, **fields: Any) -> Any:
        if name == "escrow-join":
            self.joined.add("tv")
            return Joined(jti="jti", id="tv", role="device", escrow=self.answers_as)
        assert self.joined, "who has not joined is nobody"
        if name == "order-open":
            return self._open(*fields["token"].split(" "))
        if name == "order-list":
            return OrderList(orders=[row for row in self.orders.values() if row.package == fields["package"]])
        if name == "order-place":
            number = len(self.orders) + 1
            return OrderList(orders=[self._put(self._placed(f"order-{number:016}", number))])
        row = self.orders[fields["order"]]
        if name == "order-pay" and row.state in {"placed", "paying"}:
            row = self._paid(row)
        if name == "order-confirm" and row.state == "issued":
            row = self._put(replace(row, state="confirmed"))
        return OrderList(orders=[row])

    def _placed(self, order: str, number: int) -> OrderRow:
        return OrderRow(
            order=order,
            number=number,
            state="placed",
            key=self.key,
            package=PACKAGE,
            buyer="tv",
            seller="studio",
            price_class="film",
            price_micro=self.price,
            fee_micro=0,
            currency=CURRENCY,
            placed_at_ms=number,
            changed_at_ms=number,
            until_ms=None,
        )

    def _paid(self, row: OrderRow) -> OrderRow:
        if self.money.balance < row.price_micro:
            raise RefusedError("not-covered", "the balance does not reach", 402)
        if self.slow:
            self.slow -= 1
            return self._put(replace(row, state="paying"))
        self.money.balance -= row.price_micro
        self.money.paid.append(row.order)
        return self._put(replace(row, state="paid"))

    def _open(self, order: str, blinded: str, receipt: str) -> OrderOpened:
        if self.name == LEAD:
            row = self.orders[order]
            if row.state not in {"paid", "issued"}:
                raise RefusedError("not-paid", f"the order is {row.state}", 409)
            self._put(replace(row, state="issued"))
        else:
            lead = makers.operator().escrow(LEAD, key=0) if not receipt else None
            assert lead is None, "asked without a receipt"
            told = decode(jose.unverified_payload(receipt), Receipt)
            assert (told.kind, told.order) == ("issued", order)
        known = self.openings.setdefault(order, blinded.encode())
        if known != blinded.encode():
            raise RefusedError("order-used", "the order was opened for another number", 409)
        return OrderOpened(order=order, key=self.key, opened=b"a lie" if self.lies else b"m of " + known)

    def _put(self, row: OrderRow) -> OrderRow:
        known = self.orders.get(row.order)
        if known is None or (known.state != row.state and row.state not in {"paying", "confirmed"}):
            row = replace(row, receipts=[*row.receipts, self._receipt(row)])
        self.orders[row.order] = row
        return row

    def _receipt(self, row: OrderRow) -> str:
        receipt = Receipt(
            escrow=self.name,
            operator=makers.OPERATOR,
            order=row.order,
            kind=row.state,  # type: ignore[arg-type]
            at_ms=row.changed_at_ms,
            key=row.key,
            package=row.package,
            buyer=row.buyer,
            seller=row.seller,
            price_micro=row.price_micro,
            fee_micro=row.fee_micro,
            currency=row.currency,
        )
        return jose.sign(encode(receipt), self.made.signing, kid=self.name, typ=TYP_ESCROW_RECEIPT)


class Device:
    """A device agent: keeps what it asked until it has the answer; `forged` shares are the seller's fault."""

    def __init__(self, weather: Weather, threshold: int, forged: tuple[int, ...] = ()) -> None:
        self._party = makers.seller("tv", "device")
        self._weather, self._threshold, self._forged = weather, threshold, forged
        self._asked: dict[tuple[str, int], str] = {}
        self.header = HEADER
        self._shares: dict[str, set[int]] = {}
        self._rows: dict[str, agent.EntitlementRow] = {}

    @property
    def presence(self) -> agent.Presence:
        """Who it is."""
        party = self._party
        return agent.Presence(
            version=1,
            id="tv",
            role="device",
            operator=makers.OPERATOR,
            signing=party.signing.public(),
            kek=party.kek.public(),
            ca_pem=makers.operator().ca_pem,
            server_key=party.signing.public(),
            server_kek=party.kek.public(),
            servers=[],
            certificates=party.certificates,
            limits=agent.Limits(frame_bytes=1, sessions=1, pending=1),
        )

    def blind(self, header: str, number: int, order: str, **fields: Any) -> agent.Blinded:
        """Return `order`, c' and the receipt as one text."""
        self.header = header
        with self._weather.step():
            blinded = self._asked.setdefault((order, number), f"{order}-c{number}-{len(self._asked)}")
        request = f"{order} {blinded} {fields['receipt'] or ''}"
        return agent.Blinded(request=request, escrow="", servers=[])

    def unblind(self, order: str, number: int, opened: bytes) -> agent.Progress:
        """Take a share, if it is the answer to what was asked and the seller's share is good."""
        with self._weather.step():
            if opened != b"m of " + self._asked[order, number].encode():
                raise AuthenticationError(f"the escrow lies about share {number}")
            if number in self._forged:
                raise AuthenticationError(f"share {number} does not fit its commitment")
            shares = self._shares.setdefault(order, set())
            shares.add(number)
            is_complete = len(shares) >= self._threshold
            self._rows[order] = agent.EntitlementRow(
                package=PACKAGE,
                digest=header_digest(self.header),
                title="A film",
                order=order,
                complete=is_complete,
                have=len(shares),
                threshold=self._threshold,
            )
            return agent.Progress(have=len(shares), threshold=self._threshold, complete=is_complete)

    def fault(self, order: str) -> str | None:
        """Say what was wrong."""
        return f"the fault of {order}" if self._forged else None

    def entitlements(self) -> list[agent.EntitlementRow]:
        """Say what opens."""
        return list(self._rows.values())


class Shop:
    """Some escrows, a device, and one package that is for sale at all of them."""

    def __init__(
        self,
        escrows: int = 1,
        threshold: int = 1,
        weather: Weather | None = None,
        forged: tuple[int, ...] = (),
    ) -> None:
        self.weather, self.money = weather or Weather(), Money()
        self.houses = [House(f"escrow-{each}", self.weather, self.money) for each in range(escrows)]
        self.device = Device(self.weather, threshold, forged)
        self.steps: list[str] = []
        self.offer = Offer(
            header=HEADER,
            package=PACKAGE,
            title="A film",
            seller="studio",
            escrows=tuple(each.offer for each in self.houses),
            threshold=threshold,
            parts=tuple(Part(number=each + 1, escrow=each) for each in range(escrows)),
        )

    def purchase(self, offer: Offer | None = None) -> Purchase:
        """Return a purchase by a program that has just started."""

        async def no_time(_: float) -> None:
            return None

        return Purchase(offer or self.offer, self.device, self._connect, self.steps.append, no_time)

    def _connect(self, escrow: EscrowOffer) -> AbstractAsyncContextManager[House]:
        house = next(each for each in self.houses if each.name == escrow.id)

        @contextlib.asynccontextmanager
        async def connected() -> AsyncIterator[House]:
            yield house

        return connected()
