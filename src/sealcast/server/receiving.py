"""Owns what devices say while they receive, and who receives what: heartbeat, stop, the operators' list."""

from collections.abc import Callable

import sqlalchemy as sa

from sealcast.core.errors import FormatError
from sealcast.keyserver import store_channels
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.ports import Admission, Receptions
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.messages import operations
from sealcast.messages.subscribing import (
    HeartbeatAnswer,
    HeartbeatRequest,
    ReceptionListRequest,
    SeenRow,
    StopRequest,
)
from sealcast.server.reception_rows import epoch_of

COUNT_MAX = 2**63 - 1
"""The largest number that the database keeps."""


class ReceivingDesk:
    """Carries out heartbeats, stops and lists. `admission` makes the port for a transaction."""

    def __init__(
        self, *, views: Views, receptions: Receptions, admission: Callable[[sa.Connection], Admission]
    ) -> None:
        self._views = views
        self._receptions = receptions
        self._admission = admission

    def heartbeat(self, call: Call, request: HeartbeatRequest) -> Reply:
        """Note that a device receives a channel still; one that is not subscribed is refused."""
        channel = self._views.get(call.connection, request.channel).spec
        _check_count(request.packets)
        seen = SeenRow(
            device=call.caller.id,
            channel=channel.number,
            age_ms=0,
            epoch=epoch_of(request.key_id, channel),
            packets=request.packets,
        )
        if not self._receptions.hear(call, channel, seen):
            decision = self._admission(call.connection).permit(
                call.caller.id, channel.number, (), call.wall_ms
            )
            if not decision.permitted:
                raise refusal(decision.reason, decision.detail)
            self._receptions.hear_subscribed(call, channel, seen)
        return Reply(HeartbeatAnswer(jti=request.jti, every_ms=self._receptions.heartbeat_ms))

    def stop(self, call: Call, request: StopRequest) -> Reply:
        """End the caller's reception of a channel and acknowledge it, also if none lives."""
        channel = self._views.get(call.connection, request.channel).spec
        _check_count(request.packets)
        _check_count(request.last_index or 0)
        return Reply(self._receptions.stop(call, channel, request))

    def list(self, call: Call, request: ReceptionListRequest) -> Reply:
        """Return a page of live receptions, or of all there were."""
        number = None
        if request.channel is not None:
            number = store_channels.number_of_any(call.connection, request.channel)
            if number is None:
                raise refusal(
                    "unknown-channel",
                    f"there was never a channel {request.channel[:80]!r}; see: channel list",
                )
        return Reply(self._receptions.list(call, request, number))


def receiving_handlers(desk: ReceivingDesk, receptions: Receptions) -> tuple[Handler, ...]:
    """Return the handlers of the operations on receptions."""
    ahead = receptions.ahead
    return (
        Handler(operations.HEARTBEAT, desk.heartbeat),
        Handler(operations.STOP, desk.stop, ahead=ahead.get(operations.STOP.name)),
        Handler(operations.RECEPTION_LIST, desk.list, ahead=ahead.get(operations.RECEPTION_LIST.name)),
    )


def _check_count(count: int) -> None:
    if not 0 <= count <= COUNT_MAX:
        raise FormatError("a count of packets, or the index of one, is not negative and below 2^63")
