"""Owns the list of devices sold: what the point of sale adds to it, and who is let in by it (S0-3).

The operator vouches for a device that it names itself. The rule is in force once anything was sold.
"""

import sqlalchemy as sa

from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.answers import Done
from sealcast.messages.sold import sold_fault
from sealcast.messages.subscribing import (
    SOLD_PER_REQUEST,
    SoldAdded,
    SoldAddRequest,
    SoldList,
    SoldListRequest,
    SoldRemoveRequest,
    SoldRow,
)
from sealcast.server.paging import fill
from sealcast.subscribers import store_sold
from sealcast.subscribers.store_sold import SALE, Sold


class SoldGate:
    """Lets devices in by the list of those sold."""

    def check(self, connection: sa.Connection, serial: str) -> None:
        """Raise the refusal `not-sold` for a device that nobody sold, once devices are sold at all."""
        if not store_sold.is_known(connection, serial) and store_sold.are_sold(connection):
            raise refusal(
                "not-sold",
                f"no device {serial[:80]!r} was sold as far as we know; ask where you bought it",
            )

    def vouch(self, connection: sa.Connection, serial: str, now_ms: int) -> None:
        """Note that the operator named this device itself."""
        store_sold.vouch(connection, serial, now_ms)

    def unvouch(self, connection: sa.Connection, serial: str) -> None:
        """Drop what `vouch` noted; a device that was sold stays so."""
        store_sold.unvouch(connection, serial)


class SoldDesk:
    """Carries out what operators ask about devices sold."""

    def add(self, call: Call, request: SoldAddRequest) -> Reply:
        """Note sales; a device that was sold already stays as it is."""
        if len(request.devices) > SOLD_PER_REQUEST:
            raise refusal("bad-request", f"a request has at most {SOLD_PER_REQUEST} devices; send several")
        for device in request.devices:
            if (fault := sold_fault(device)) is not None:
                raise refusal("bad-request", f"serial number {device.serial[:80]!r}: {fault}")
        sales = [
            Sold(each.serial, SALE, each.sold_on, each.seller, each.note, call.wall_ms)
            for each in request.devices
        ]
        known = store_sold.sell(call.connection, sales)
        added = len(request.devices) - len(known)
        if added:
            only = f" {request.devices[0].serial}" if len(request.devices) == 1 else ""
            call.record("sold-add", f"{added}{only}")
        return Reply(SoldAdded(jti=request.jti, added=added, known=known))

    def list(self, call: Call, request: SoldListRequest) -> Reply:
        """Return a page of the list: as many as were asked for and as fit into an answer."""
        if not 0 < request.limit <= SOLD_PER_REQUEST:
            raise refusal("bad-request", f"a page has 1 to {SOLD_PER_REQUEST} devices")
        found = list(store_sold.page(call.connection, request.after, request.limit + 1))
        enrolled = store_principals.devices_among(call.connection, [device.serial for device in found])
        rows = (_row(device, is_enrolled=device.serial in enrolled) for device in found)
        page, has_more = fill(rows, request.limit)
        return Reply(SoldList(devices=page, more=has_more))

    def remove(self, call: Call, request: SoldRemoveRequest) -> Reply:
        """Take a device off the list; one that is registered stays so, with its subscriptions."""
        if not store_sold.remove(call.connection, request.serial):
            raise refusal("unknown-device", f"no device {request.serial[:80]!r} was sold; see: sold list")
        call.record("sold-remove", request.serial)
        return Reply(Done(jti=request.jti))


def _row(device: Sold, *, is_enrolled: bool) -> SoldRow:
    return SoldRow(
        serial=device.serial,
        origin=device.origin,
        sold_on=device.sold_on,
        seller=device.seller,
        note=device.note,
        added_at=iso_time(device.added_at_ms),
        enrolled=is_enrolled,
    )


def selling_handlers(desk: SoldDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on devices sold."""
    return (
        Handler(operations.SOLD_ADD, desk.add),
        Handler(operations.SOLD_LIST, desk.list),
        Handler(operations.SOLD_REMOVE, desk.remove),
    )
