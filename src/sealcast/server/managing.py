"""Owns the operations of a reception manager that stands apart: what key servers ask and tell it."""

from sealcast.core.errors import FormatError
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.messages import operations
from sealcast.messages.answers import Done
from sealcast.messages.subscribing import (
    EndAnswer,
    EndRequest,
    Permit,
    PermitRequest,
    ReceptionListRequest,
    SeenRequest,
)
from sealcast.reception.manager import ReceptionManager
from sealcast.reception.service import Moment, Seen
from sealcast.server.reception_rows import end_of, list_page, reception_row, seen_of

ENDS_SHOWN_MAX = 100
"""Receptions that one answer shows as ended: a channel that is removed may have had ten thousand."""

NUMBER_MAX = 2**32 - 1
COUNT_MAX = 2**63 - 1


class ManagingDesk:
    """Carries out what key servers ask; their lists have said that the device is subscribed."""

    def __init__(self, manager: ReceptionManager) -> None:
        self._manager = manager

    def permit(self, call: Call, request: PermitRequest) -> Reply:
        """Record that a device asks for keys: on disk before the key server hears the yes."""
        _check(request.device, request.channel, *request.epochs)
        seen = Seen(request.device, request.channel, request.channel_name, tuple(request.epochs))
        self._manager.permit(call.connection, seen, Moment(call.now, call.wall_ms))
        return Reply(Permit(jti=request.jti, permitted=True))

    def seen(self, call: Call, request: SeenRequest) -> Reply:
        """Record heartbeats."""
        for row in request.seen:
            _check(row.device, row.channel, row.epoch or 0)
            if not 0 <= row.packets <= COUNT_MAX or not 0 <= row.age_ms <= COUNT_MAX // NS_PER_MS:
                raise FormatError("counts and ages are not negative")
        moment = Moment(call.now, call.wall_ms)
        for row in request.seen:
            self._manager.hear_again(call.connection, seen_of(row), moment)
        return Reply(Done(jti=request.jti))

    def end(self, call: Call, request: EndRequest) -> Reply:
        """End receptions; those that ended lately for the same reason are told once more."""
        for row in request.ends:
            _check(row.device or "-", row.channel or 0, row.epoch or 0)
            if not 0 <= row.packets <= COUNT_MAX or not 0 <= (row.last_index or 0) <= COUNT_MAX:
                raise FormatError("counts are not negative")
        over = self._manager.end(call.connection, [end_of(row) for row in request.ends], call.wall_ms)
        rows = [reception_row(each) for each in over[:ENDS_SHOWN_MAX]]
        return Reply(EndAnswer(jti=request.jti, receptions=rows))

    def list(self, call: Call, request: ReceptionListRequest) -> Reply:
        """Return a page of receptions; a channel is asked for by its number."""
        channel = None
        if request.channel is not None:
            if not request.channel.isascii() or not request.channel.isdigit() or len(request.channel) > 10:
                raise FormatError("a reception manager knows channels by their numbers alone")
            channel = int(request.channel)
        return Reply(list_page(self._manager, call.connection, request, channel))


def managing_handlers(desk: ManagingDesk) -> tuple[Handler, ...]:
    """Return the handlers of all that a reception manager answers."""
    return (
        Handler(operations.RECEPTION_PERMIT, desk.permit),
        Handler(operations.RECEPTION_SEEN, desk.seen),
        Handler(operations.RECEPTION_END, desk.end),
        Handler(operations.RECEPTION_LIST, desk.list),
    )


def _check(device: str, channel: int, *epochs: int) -> None:
    """Raise FormatError for what cannot be a device, a channel or an epoch."""
    if not 0 < len(device) <= 128 or not all(0 <= each <= NUMBER_MAX for each in (channel, *epochs)):
        raise FormatError("a device has a name, channels and epochs are numbers below 2^32")
