"""Owns what operators do with assignments: which tariff a channel, or a device on it, has from when on."""

from functools import partial

import sqlalchemy as sa

from sealcast.billing import store_assignments
from sealcast.billing.store_assignments import StoredAssignment, Wanted
from sealcast.billing.timeline import Assignment
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver import store_channels, store_principals
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import (
    AssignmentList,
    AssignmentListRequest,
    AssignmentRow,
    TariffAssignRequest,
)
from sealcast.server.billing.closed import Closed, check_open, read_ahead
from sealcast.server.billing.contracts import channel_names
from sealcast.server.billing.shared import BillingShared
from sealcast.server.billing.tariffs import another_begins, channel_number, must_find
from sealcast.server.paging import fill


class AssignmentDesk:
    """Carries out what operators ask about assignments."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    async def ahead(self, caller: Principal, request: TariffAssignRequest) -> Closed:
        """Find out which closed periods an assignment would touch."""
        _ = caller
        now_ms = self._shared.clock.wall_ns() // NS_PER_MS
        return await self._shared.reader.read(partial(_closed, request=request, now_ms=now_ms))

    def assign(self, call: Call, request: TariffAssignRequest) -> Reply:
        """Have a channel's subscribers, or one device, pay by a tariff from an instant on, or by none."""
        from_ms = call.wall_ms if request.from_ms is None else request.from_ms
        number = channel_number(call.connection, request.channel)
        whom = request.channel
        if request.device is not None:
            check_devices(call.connection, [request.device])
            whom = f"{request.device} on {request.channel}"
        if request.tariff is not None:
            _check_valid(call.connection, request.tariff, from_ms)
        elif store_assignments.tariff_at(call.connection, number, request.device, from_ms) is None:
            raise refusal("unknown-tariff", f"{whom} has no tariff of its own at {iso_time(from_ms)}")
        if store_assignments.begins_at(call.connection, number, request.device, from_ms):
            raise another_begins(whom, from_ms)
        check_open(call, [(number, request.device)], from_ms)
        assignment = Assignment(from_ms, request.tariff, request.device)
        made = store_assignments.add(call.connection, number, assignment, call.wall_ms)
        call.record("tariff-assign", f"{whom} {request.tariff or '-'} from {iso_time(from_ms)}")
        stored = StoredAssignment(made, number, assignment)
        return Reply(AssignmentList(assignments=_rows(call.connection, [stored])))

    def list(self, call: Call, request: AssignmentListRequest) -> Reply:
        """Return a page of assignments, in the order in which they were made."""
        number = None
        if request.channel is not None:
            number = store_channels.number_of_any(call.connection, request.channel)
            if number is None:
                raise refusal("unknown-channel", f"there never was a channel {request.channel[:80]!r}")
        wanted = Wanted(number, request.device, request.tariff)
        found = store_assignments.page(call.connection, wanted, request.after, request.limit + 1)
        page, has_more = fill(_rows(call.connection, found), request.limit)
        return Reply(AssignmentList(assignments=page, more=has_more))


def assignment_handlers(desk: AssignmentDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on assignments."""
    return (
        Handler(operations.TARIFF_ASSIGN, desk.assign, ahead=desk.ahead),
        Handler(operations.ASSIGNMENT_LIST, desk.list),
    )


def check_devices(connection: sa.Connection, devices: list[str]) -> None:
    """Raise the refusal `unknown-device` unless all of these are registered devices."""
    known = store_principals.devices_among(connection, devices)
    for device in devices:
        if device not in known:
            raise refusal("unknown-device", f"no device {device[:80]!r} is registered; see: registry list")


def _closed(connection: sa.Connection, request: TariffAssignRequest, now_ms: int) -> Closed:
    found = store_channels.find(connection, request.channel)
    subjects = [] if found is None else [(int(found.spec.number), request.device)]
    return read_ahead(connection, subjects, now_ms if request.from_ms is None else request.from_ms)


def _check_valid(connection: sa.Connection, name: str, from_ms: int) -> None:
    """Raise a refusal for a tariff that is unknown, or says no price at that instant."""
    tariff = must_find(connection, name)
    if tariff.version_at(from_ms) is None:
        first = iso_time(tariff.versions[0].valid_from_ms)
        raise refusal(
            "bad-request",
            f"tariff {name!r} says no price at {iso_time(from_ms)}; it is valid from {first} on",
        )


def _rows(connection: sa.Connection, found: list[StoredAssignment]) -> list[AssignmentRow]:
    names = channel_names(connection, [each.channel for each in found])
    return [
        AssignmentRow(
            number=each.number,
            channel=each.channel,
            channel_name=names[each.channel],
            device=each.assignment.device,
            tariff=each.assignment.tariff,
            from_ms=each.assignment.from_ms,
        )
        for each in found
    ]
