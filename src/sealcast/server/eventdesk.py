"""Owns who may listen to the events of which channels: at the start of a stream, and as long as it lasts."""

from collections import OrderedDict

import sqlalchemy as sa

from sealcast.core.errors import RefusedError
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.messages import operations
from sealcast.messages.nonces import NONCE_VALID_MS
from sealcast.messages.subscribing import EventsRequest
from sealcast.server.authenticating import check_standing
from sealcast.server.eventlink import Opened
from sealcast.server.principals import Principals
from sealcast.subscribers import store as allow_list

REMEMBERED_MS = 2 * NONCE_VALID_MS
"""As long as a nonce could be good by any of our clocks, a request opens one stream."""

REMEMBERED_MAX = 65_536
"""Requests known by their `jti`, 200 bytes each: 270 a second. With more, the oldest are forgotten."""


class EventDesk:
    """Decides in the writer's thread, on what the database says there."""

    def __init__(self, *, views: Views, principals: Principals) -> None:
        self._views, self._principals = views, principals
        self._remembered: OrderedDict[tuple[str, str], int] = OrderedDict()

    def handler(self) -> Handler:
        """Return how the operation `events` is decided; the streams themselves are elsewhere."""
        return Handler(operations.EVENTS, self.open)

    def open(self, call: Call, request: EventsRequest) -> Reply:
        """Permit a party to listen to channels that are its own; raises a refusal for another's.

        A request opens one stream: whoever got hold of one that was used gets nothing for it.
        """
        if not request.channels:
            raise refusal("bad-request", "name at least one channel to hear of")
        numbers = [self._own(call, channel) for channel in request.channels]
        self._remember((call.caller.id, request.jti), call.wall_ms)
        return Reply(Opened(call.caller.id, call.caller.role, list(dict.fromkeys(numbers))))

    def still(self, connection: sa.Connection, rows: list[Opened], wall_ms: int) -> list[list[int]]:
        """Return for each stream the channels that it may go on to hear of; about 20 µs a channel."""
        return [self._still(connection, row, wall_ms) for row in rows]

    def _still(self, connection: sa.Connection, row: Opened, wall_ms: int) -> list[int]:
        party = self._principals.named(connection, row.party)
        if party is None or party.role != row.role:
            return []
        try:
            check_standing(party, wall_ms)
        except RefusedError:
            return []
        return [number for number in row.channels if self._is_own(connection, row, number)]

    def _own(self, call: Call, channel: str) -> int:
        view = self._views.get(call.connection, channel)
        row = Opened(call.caller.id, call.caller.role, [])
        if self._is_own(call.connection, row, view.spec.number):
            return view.spec.number
        if row.role == "sender":
            raise refusal("not-your-channel", f"channel {view.spec.name} is not among yours")
        raise refusal("not-subscribed", f"{row.party} is not subscribed to {view.spec.name}")

    def _is_own(self, connection: sa.Connection, row: Opened, number: int) -> bool:
        try:
            view = self._views.get(connection, str(number))
        except RefusedError:
            return False
        if row.role == "sender":
            return row.party in view.senders
        return allow_list.is_listed(connection, view.spec.number, row.party)

    def _remember(self, request: tuple[str, str], wall_ms: int) -> None:
        """Keep a request in mind for as long as its nonce may be good; raises a refusal if it was used."""
        while self._remembered:
            at_ms = next(iter(self._remembered.values()))
            if len(self._remembered) < REMEMBERED_MAX and 0 <= wall_ms - at_ms < REMEMBERED_MS:
                break
            self._remembered.popitem(last=False)
        if request in self._remembered:
            raise refusal("jti-reused", "this request has opened a stream already; sign another")
        self._remembered[request] = wall_ms
