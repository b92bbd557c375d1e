"""Owns the desk for usage: what was used and is charged, and the audit of what that rests on."""

from functools import partial

import sqlalchemy as sa

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver import store_channels
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages import operations_billing
from sealcast.messages.charging import AuditAnswer, AuditRequest, UsageList, UsageListRequest
from sealcast.server.billing.air import record_air
from sealcast.server.billing.audit import Audited, audit_piece
from sealcast.server.billing.audit_books import BOOK_CHECKS
from sealcast.server.billing.audit_usage import USAGE_CHECKS
from sealcast.server.billing.shared import BillingShared
from sealcast.server.billing.source import FAR_MS
from sealcast.server.billing.usage_rows import Wanted, read_place, usage_page

UNITS_MAX = 100
"""Units of work that record what is settled ahead of an answer: 10,000 epochs; others do the rest."""


class UsageDesk:
    """Answers what was used."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    async def read_usage(self, _: Principal, request: UsageListRequest) -> UsageList:
        """Record what is settled by now, and read a page; raises the refusals of what is not known."""
        after = read_place(request.after)
        await self._record()
        return await self._shared.reader.read(
            lambda connection: usage_page(connection, _wanted(connection, request), after, request.limit)
        )

    async def audit(self, _: Principal, request: AuditRequest) -> AuditAnswer:
        """Verify the next piece of what bills rest on."""
        return await self._shared.reader.read(partial(self._audit, request.after))

    def _audit(self, after: str, connection: sa.Connection) -> AuditAnswer:
        audited = Audited(connection, self._shared.operator, self._shared.signing_keys)
        return audit_piece(audited, {**USAGE_CHECKS, **BOOK_CHECKS}, after)

    async def _record(self) -> None:
        """Record what is settled, in units of work that hold up nobody."""
        for _ in range(UNITS_MAX):
            wall_ms = self._shared.clock.wall_ns() // NS_PER_MS
            settle_ms = self._shared.settings.settle_ms
            if not await self._shared.write(partial(record_air, wall_ms=wall_ms, settle_ms=settle_ms)):
                return


def usage_handlers(desk: UsageDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on usage."""
    return (
        Handler(operations_billing.USAGE_LIST, _brought, ahead=desk.read_usage),
        Handler(operations_billing.USAGE_AUDIT, _brought, ahead=desk.audit),
    )


def _wanted(connection: sa.Connection, request: UsageListRequest) -> Wanted:
    """Return the filters of a request; a channel may have been removed since."""
    channel = None
    if request.channel is not None:
        channel = store_channels.number_of_any(connection, request.channel)
        if channel is None:
            raise refusal("unknown-channel", f"there never was a channel {request.channel[:80]!r}")
    return Wanted(
        device=request.device,
        channel=channel,
        since_ms=request.since_ms or 0,
        until_ms=FAR_MS if request.until_ms is None else request.until_ms,
    )


def _brought(call: Call, _: object) -> Reply:
    """Hand on what was read ahead of the call."""
    if call.ahead is None:
        raise LocalError("nothing was read ahead of this call")
    return Reply(call.ahead)
