"""Owns what operators do with customers: who gets bills, how often, by which clock, for which devices."""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.billing import store_customers
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.store_customers import Customer
from sealcast.core.errors import RefusedError
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import CustomerList, CustomerListRequest, CustomerRow, CustomerSetRequest
from sealcast.messages.parties import ID_CHARS_MAX, is_id, is_line
from sealcast.server.billing.assigning import check_devices
from sealcast.server.billing.closed import was_subscribed_before
from sealcast.server.billing.payers import default_cycle
from sealcast.server.billing.shared import BillingShared
from sealcast.server.paging import fill

NAME_CHARS_MAX = 200
"""A household, a hotel with its address: what stands on top of a bill."""

DEVICES_MAX = 1_000
"""Of one customer: their ids fit into one answer, and their bill into one transaction."""


class CustomerDesk:
    """Carries out what operators ask about customers."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    def set(self, call: Call, request: CustomerSetRequest) -> Reply:
        """Make a customer or change it: a no is decided before anything is written."""
        _check_texts(request)
        known = store_customers.find(call.connection, request.id)
        usual = known or Customer(request.id, "", default_cycle(self._shared.settings))
        name = usual.name if request.name is None else request.name
        customer = Customer(request.id, name, _cycle(usual.cycle, request))
        if customer.cycle != usual.cycle and store_customers.was_billed(call.connection, request.id):
            raise refusal(
                "period-closed", f"{request.id} has had a bill, so its cycle stays; make another customer"
            )
        joining = _joining(call.connection, request.id, list(dict.fromkeys(request.devices)))
        store_customers.put(call.connection, customer, call.wall_ms)
        store_customers.join(call.connection, request.id, joining)
        call.record("customer-set", " ".join((request.id, *joining[:1], *(["…"] if joining[1:] else []))))
        return Reply(CustomerList(customers=_rows(call.connection, [customer])))

    def list(self, call: Call, request: CustomerListRequest) -> Reply:
        """Return a page of the customers that were set or billed, or the one asked for."""
        if request.id is not None:
            found = store_customers.find(call.connection, request.id)
            if found is None:
                raise refusal(
                    "unknown-customer",
                    f"no customer {request.id[:80]!r} was set or billed; see: billing customer list",
                )
            return Reply(CustomerList(customers=_rows(call.connection, [found])))
        customers = store_customers.page(call.connection, request.after, request.limit + 1)
        page, has_more = fill(_rows(call.connection, customers), request.limit)
        return Reply(CustomerList(customers=page, more=has_more))


def customer_handlers(desk: CustomerDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on customers."""
    return (
        Handler(operations.CUSTOMER_SET, desk.set),
        Handler(operations.CUSTOMER_LIST, desk.list),
    )


def _check_texts(request: CustomerSetRequest) -> None:
    if not is_id(request.id):
        raise refusal(
            "bad-request", f"a customer's id has 1 to {ID_CHARS_MAX} printable ASCII characters, no spaces"
        )
    name = request.name or ""
    if len(name) > NAME_CHARS_MAX or not is_line(name):
        raise refusal("bad-request", f"a customer's name is one line of at most {NAME_CHARS_MAX} characters")


def _cycle(usual: BillingCycle, request: CustomerSetRequest) -> BillingCycle:
    """Return the cycle asked for; the anchor day of another kind of period counts for nothing."""
    kind = usual.kind if request.cycle is None else PeriodKind(request.cycle)
    anchor_day = usual.anchor_day if kind is usual.kind else 1
    if request.anchor_day is not None:
        anchor_day = request.anchor_day
    return BillingCycle(kind, usual.zone if request.zone is None else request.zone, anchor_day)


def _joining(connection: sa.Connection, customer: str, devices: Sequence[str]) -> list[str]:
    """Return those of `devices` that join a customer anew; raises a refusal if one of them cannot."""
    if len(devices) > DEVICES_MAX:
        raise _too_many()
    owners = store_customers.customer_of_devices(connection, devices)
    joining = [device for device in devices if owners[device] != customer]
    check_devices(connection, joining)
    here = store_customers.devices_of(connection, [customer])[customer]
    if len(here) + len(joining) > DEVICES_MAX:
        raise _too_many()
    closed_ms = store_customers.closed_until_ms(connection, customer)
    for device in joining:
        if store_customers.was_billed(connection, owners[device]):
            raise refusal("period-closed", f"{device} was billed to {owners[device]}, and stays with it")
        if closed_ms is not None and was_subscribed_before(connection, device, closed_ms):
            raise refusal(
                "period-closed",
                f"{device} was subscribed in a period of which {customer} has the bill; it stays on its own",
            )
    return joining


def _too_many() -> RefusedError:
    return refusal("bad-request", f"a customer has at most {DEVICES_MAX} devices; make another customer")


def _rows(connection: sa.Connection, customers: Sequence[Customer]) -> list[CustomerRow]:
    ids = [each.id for each in customers]
    owned = store_customers.devices_of(connection, ids)
    devices = store_principals.devices_among(connection, ids)
    return [
        CustomerRow(
            id=each.id,
            name=each.name,
            cycle=each.cycle.kind.value,
            zone=each.cycle.zone,
            anchor_day=each.cycle.anchor_day,
            devices=[device for device in owned[each.id] if device != each.id or device in devices],
        )
        for each in customers
    ]
