"""Owns the reading of the audit log by operators; nobody can change it."""

from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.auditing import AUDIT_PAGE_MAX, AuditList, AuditListRequest, AuditLogRow
from sealcast.server.paging import fill
from sealcast.storage import audit


def list_audit(call: Call, request: AuditListRequest) -> Reply:
    """Return a page of the log; raises the refusal `bad-request` for a limit that is none."""
    if not 1 <= request.limit <= AUDIT_PAGE_MAX:
        raise refusal("bad-request", f"a page of the audit log has 1 to {AUDIT_PAGE_MAX} rows")
    wanted = audit.Wanted(
        before=request.before,
        after=request.after,
        who=request.who,
        what=request.what,
        subject=request.subject,
        since_ms=request.since_ms,
        until_ms=request.until_ms,
    )
    found = audit.page(call.connection, wanted, request.limit + 1)
    rows, has_more = fill((_row(each) for each in found), request.limit)
    return Reply(AuditList(rows=rows, more=has_more))


def audit_handlers() -> tuple[Handler, ...]:
    """Return the handler of the operation on the log."""
    return (Handler(operations.AUDIT_LIST, list_audit),)


def _row(each: audit.NumberedRow) -> AuditLogRow:
    row = each.row
    return AuditLogRow(
        number=each.number, at=iso_time(row.at_ms), who=row.who, what=row.what, subject=row.subject
    )
