"""Owns the operators' work on offenders: devices that sent illegitimate statements, and their pardon."""

import msgspec

from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.answers import Done
from sealcast.messages.requests import ListRequest
from sealcast.messages.subscribing import OffenceKind, OffenderList, OffenderPardonRequest, OffenderRow
from sealcast.server.paging import fill
from sealcast.subscribers import store_offences
from sealcast.subscribers.store_offences import Offence


def list_offenders(call: Call, _: ListRequest) -> Reply:
    """Return the offences on record, the newest first, pardoned ones too: as many as fit into an answer.

    What they say is the offenders' own words in part, and may be long.
    """
    found = store_offences.all_offences(call.connection)
    page, _has_more = fill(map(_row, found), len(found))
    return Reply(OffenderList(offenders=page))


def pardon(call: Call, request: OffenderPardonRequest) -> Reply:
    """Let a device off: it is in good standing again, until it offends anew."""
    if not store_offences.pardon(call.connection, request.device, call.wall_ms):
        raise refusal(
            "unknown-device",
            f"{request.device[:80]!r} has no offence to be pardoned; see: subscriber offenders",
        )
    call.record("offender-pardon", request.device)
    return Reply(Done(jti=request.jti))


def offender_handlers() -> tuple[Handler, ...]:
    """Return the handlers of the operations on offenders."""
    return (
        Handler(operations.OFFENDER_LIST, list_offenders),
        Handler(operations.OFFENDER_PARDON, pardon),
    )


def _row(offence: Offence) -> OffenderRow:
    return OffenderRow(
        device=offence.device,
        kind=msgspec.convert(offence.kind, OffenceKind),
        at=iso_time(offence.at_ms),
        detail=offence.detail,
        pardoned_at=iso_time(offence.pardoned_at_ms) if offence.pardoned_at_ms is not None else None,
    )
