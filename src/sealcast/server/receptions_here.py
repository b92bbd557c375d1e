"""Owns the reception manager inside the key server: same database, same units of work."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import Epoch
from sealcast.core.ports import Clock
from sealcast.keyserver.calls import Call
from sealcast.keyserver.ports import Ahead
from sealcast.keyserver.when import iso_time
from sealcast.messages.subscribing import (
    EndRow,
    ReceptionList,
    ReceptionListRequest,
    SeenRow,
    Stopped,
    StopRequest,
)
from sealcast.reception.manager import ReceptionManager
from sealcast.reception.service import Moment, Seen
from sealcast.server.keeping import Keeper
from sealcast.server.reception_rows import end_of, end_row, list_page, reception_row, seen_of, stopped
from sealcast.storage.unitofwork import UnitOfWork


class ReceptionsHere:
    """The key server's own record of receptions; `name` is what acknowledgements say who keeps it."""

    def __init__(self, heartbeat_ms: int, name: str) -> None:
        self.manager = ReceptionManager(heartbeat_ms)
        self.name = name
        self._keeper: Keeper | None = None

    async def start(self, unit_of_work: UnitOfWork, clock: Clock) -> None:
        """Begin to keep the record true; in the loop of the server."""
        self._keeper = Keeper(self.manager, unit_of_work, clock)
        self._keeper.start()

    async def close(self) -> None:
        """End that, and store what was heard; the database closes after."""
        if self._keeper is not None:
            await self._keeper.close()

    def on_undone(self) -> None:
        """Forget what was concluded from work that was rolled back."""
        self.manager.on_undone()

    @property
    def heartbeat_ms(self) -> int:
        """How often receivers say that they live."""
        return self.manager.heartbeat_ms

    @heartbeat_ms.setter
    def heartbeat_ms(self, heartbeat_ms: int) -> None:
        self.manager.heartbeat_ms = heartbeat_ms

    @property
    def ahead(self) -> Mapping[str, Ahead]:
        """Nothing is asked elsewhere."""
        return {}

    def permit(self, call: Call, channel: ChannelSpec, epochs: tuple[Epoch, ...]) -> tuple[Epoch, ...]:
        """Open or touch the caller's reception: without a query, if it is known to live."""
        seen = Seen(call.caller.id, channel.number, channel.name, epochs)
        self.manager.permit(call.connection, seen, _moment(call))
        return epochs

    def refused(self, call: Call, channel: ChannelSpec) -> None:
        """Do nothing: nobody was permitted."""

    def hear(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> bool:
        """Touch the caller's reception in memory; False if none lives."""
        return self.manager.hear(call.connection, seen_of(seen, channel.name), _moment(call))

    def hear_subscribed(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> None:
        """Begin a reception for a caller that was silent too long, and receives still."""
        self.manager.hear_again(call.connection, seen_of(seen, channel.name), _moment(call))

    def stop(self, call: Call, channel: ChannelSpec, request: StopRequest) -> Stopped:
        """End the caller's reception."""
        over = self.manager.end(
            call.connection, [end_of(end_row(call.caller.id, channel, request))], call.wall_ms
        )
        row = reception_row(over[0]) if over else None
        return stopped(request.jti, channel.name, row, until=iso_time(call.wall_ms), by=self.name)

    def list(self, call: Call, request: ReceptionListRequest, channel: int | None) -> ReceptionList:
        """Return a page of receptions."""
        return list_page(self.manager, call.connection, request, channel)

    def end_receptions(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """End receptions in the caller's unit of work."""
        self.manager.end(connection, [end_of(row) for row in ends], wall_ms)


def _moment(call: Call) -> Moment:
    return Moment(call.now, call.wall_ms)
