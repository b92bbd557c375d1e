"""Owns what `sealcast order` does: finds the escrow of an order, asks it, prints what it says.

Imported by commands when they run, not for their help.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import typer

from sealcast.cli import acting, bought, output
from sealcast.cli.bought import Bought
from sealcast.cli.escrowasking import Asker, asker
from sealcast.cli.escrowoptions import asker_of, servers_of
from sealcast.client import KeyServerClient
from sealcast.core.errors import AuthenticationError, FormatError, UsageError
from sealcast.device.chains import read_escrow
from sealcast.keyserver.when import iso_time
from sealcast.ledger.money import format_micro
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import TYP_ESCROW_RECEIPT, NoticeList, OrderList, OrderRow, Receipt
from sealcast.messages.operation import Operation
from sealcast.messages.operations_escrow import NOTICE_LIST, ORDER_LIST, ORDER_SHOW

PAGES_MAX = 10_000
HEADERS = ("ORDER", "STATE", "PRICE", "BUYER", "SELLER", "TITLE", "UNTIL")
WHAT_NOW = {
    "confirmed": "the money is on its way to {row.seller}",
    "released": "the money is with {row.seller}",
    "refunding": "the money is on its way back to {row.buyer}",
    "refunded": "the money is back with {row.buyer}",
    "disputed": "the money waits for a decision, at most until {until}",
    "issued": "without a word, the money goes to {row.seller} on {until}",
    "paid": "nothing was opened so far; without a word, the money goes back on {until}",
    "placed": "nothing is paid; it expires on {until}",
    "paying": "the money is on its way to the escrow",
    "expired": "it was not paid in time",
}


@dataclass(frozen=True, slots=True)
class Place:
    """An escrow: its addresses, and its id where that is known."""

    servers: tuple[str, ...]
    escrow: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders as one party sees them: who asks, what its device bought here, and the escrow that was named.

    `usual` are the addresses of the configuration's escrow, for who is no device.
    """

    asker: Asker
    known: tuple[Bought, ...]
    at: tuple[str, ...]
    usual: tuple[str, ...]

    @classmethod
    @contextmanager
    def of(
        cls,
        context: typer.Context,
        at: Sequence[str] | None,
        credential: str | None,
        agent: str | None,
        *,
        by: Literal["anybody", "device", "operator"] = "anybody",
    ) -> Iterator["Orders"]:
        """Give the orders of whoever asks (`escrowoptions.asker_of`), or has to; raises UsageError."""
        loaded = acting.settings(context)
        asking = asker(context, None, agent)
        if by != "device":
            asking = asker_of(context, credential, agent, is_operator=by == "operator")
        with asking as who:
            device = who.credential.id if who.agent is not None else None
            known = [each for each in bought.known(bought.folder_of(loaded)) if each.device == device]
            usual = () if device is not None else tuple(servers_of(context, None))
            yield cls(who, tuple(known), tuple(servers_of(context, at)) if at else (), usual)

    def list(self, state: str | None, *, as_json: bool) -> None:
        """Print all orders, or those in one state."""
        titles = {each.order: each.title for each in self.known}
        rows = [row for place in self._escrows() for row in self._rows(place, state)]
        if as_json:
            output.print_json(OrderList(orders=rows))
            return
        table = [
            (
                row.order,
                row.state,
                f"{format_micro(row.price_micro)} {row.currency}",
                row.buyer,
                row.seller,
                titles.get(row.order, f"({row.price_class})"),
                "-" if row.until_ms is None else iso_time(row.until_ms),
            )
            for row in rows
        ]
        output.print_table(HEADERS, table, empty="no order yet; see: sealcast buy --help")

    def show(self, order: str, *, as_json: bool) -> None:
        """Print one order, and when its escrow attested what.

        Raises AuthenticationError for a receipt that no escrow of the operator signed, or for another order.
        """
        work = partial(_row_and_certificate, order=order)
        place = self._place(order)
        row, certificate = self.asker.ask(place.servers, work, place.escrow)
        receipts = _verified(row, certificate, self.asker.credential.ca_pem)
        if as_json:
            output.print_json(row)
            return
        _print(row)
        output.print_line(f"  price    {format_micro(row.price_micro)} {row.currency} ({row.price_class})")
        output.print_line(f"  buyer    {row.buyer}\n  seller   {row.seller}")
        if row.reason:
            output.print_line(f"  reason   {row.reason}")
        for receipt in receipts:
            output.print_line(f"  {iso_time(receipt.at_ms)} {receipt.kind}, attested by {receipt.escrow}")

    def change(
        self,
        operation: Operation,
        order: str,
        *,
        as_json: bool,
        with_fault: bool = False,
        **fields: object,
    ) -> None:
        """Have something happen to an order, and print what became of it.

        `with_fault`: the device's own word goes along, if something that it opened was wrong.
        """
        agent = self.asker.agent
        fault = agent.fault(order) if with_fault and agent is not None else None
        if fault is not None:
            fields["fault"] = fault
        row = self._ask(operation, order, **fields)
        if as_json:
            output.print_json(row)
        else:
            _print(row)

    def _ask(self, operation: Operation, order: str, **fields: object) -> OrderRow:
        """Ask for one order at its escrow; raises as `KeyServerClient.call`."""

        async def once(client: KeyServerClient) -> OrderList:
            return await client.expect(operation, OrderList, order=order, **fields)

        place = self._place(order)
        return _one(self.asker.ask(place.servers, once, place.escrow), order)

    def _rows(self, place: Place, state: str | None) -> Sequence[OrderRow]:
        """Return all orders at one escrow; raises as `KeyServerClient.call`."""

        async def pages(client: KeyServerClient) -> Sequence[OrderRow]:
            found, after = list[OrderRow](), 0
            for _ in range(PAGES_MAX):
                page = await client.expect(ORDER_LIST, OrderList, after=after, state=state)
                found += page.orders
                if page.next is None:
                    break
                after = page.next
            return found

        return self.asker.ask(place.servers, pages, place.escrow)

    def _place(self, order: str) -> Place:
        """Return an order's escrow; raises UsageError where nobody knows.

        That of an order which was bought here is on record, whatever address is given.
        """
        found = next((each for each in self.known if each.order == order), None)
        if found is not None:
            return Place(self.at or tuple(found.servers), found.escrow)
        if not self.at and not self.usual:
            raise UsageError(f"{order} was not bought here: say at which escrow it is, --at URL")
        return Place(self.at or self.usual)

    def _escrows(self) -> Sequence[Place]:
        """Return each escrow to ask for a list."""
        if self.at or self.usual:
            return [Place(self.at or self.usual)]
        found = {each.escrow: tuple(each.servers) for each in self.known}
        return [Place(servers, escrow) for escrow, servers in found.items()]


async def _row_and_certificate(client: KeyServerClient, *, order: str) -> tuple[OrderRow, str]:
    """Return an order, and the certificate of the escrow that has it."""
    row = _one(await client.expect(ORDER_SHOW, OrderList, order=order), order)
    return row, (await client.expect(NOTICE_LIST, NoticeList, limit=1)).certificate


def _one(answer: OrderList, order: str) -> OrderRow:
    if len(answer.orders) != 1 or answer.orders[0].order != order:
        raise FormatError("the escrow answered with another order than that")
    return answer.orders[0]


def _verified(row: OrderRow, certificate: str, ca_pem: str) -> Sequence[Receipt]:
    """Return what an escrow under the operator's CA attested of an order; raises AuthenticationError."""
    escrow = read_escrow(certificate, ca_pem)
    receipts = [
        decode(jose.verify(each, escrow.signing, typ=TYP_ESCROW_RECEIPT), Receipt) for each in row.receipts
    ]
    if any((each.order, each.escrow) != (row.order, escrow.id) for each in receipts):
        raise AuthenticationError(f"{escrow.id} shows receipts of something else with the order {row.order}")
    return receipts


def _print(row: OrderRow) -> None:
    until = "-" if row.until_ms is None else iso_time(row.until_ms)
    output.print_line(f"order {row.order} is {row.state}: {WHAT_NOW[row.state].format(row=row, until=until)}")
