"""Owns notices: each party lists the receipts of its orders, as the escrow signed them."""

from sealcast.escrow import store_receipts
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.messages import operations_escrow as operations
from sealcast.messages.escrow import NoticeList, NoticeListRequest
from sealcast.server.escrow.order_rows import whose
from sealcast.server.escrow.shared import EscrowShared
from sealcast.server.paging import fill


class NoticeDesk:
    """Shows receipts."""

    def __init__(self, shared: EscrowShared) -> None:
        self._shared = shared

    def list(self, call: Call, request: NoticeListRequest) -> Reply:
        """Show a page of the caller's receipts, in the order in which they were signed."""
        rows = store_receipts.page(call.connection, whose(call.caller), request.after, request.limit + 1)
        page, has_more = fill(rows, request.limit)
        following = page[-1].number if has_more else None
        certificate = self._shared.house.certificate
        return Reply(NoticeList(notices=page, certificate=certificate, next=following))


def noticing_handlers(shared: EscrowShared) -> tuple[Handler, ...]:
    """Return the handler of notices."""
    return (Handler(operations.NOTICE_LIST, NoticeDesk(shared).list),)
