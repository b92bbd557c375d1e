"""Owns the key server's side of a reception manager that stands apart.

```
key request ─► on the list? ─► reception-permit ─► manager records ─► grant, on disk ─► key
heartbeat ─► on the list? ─► kept for a second ─► reception-seen, many at once
stop, list ─► reception-end, reception-list ─► answered with what the manager says
removal, withdrawal ─► outbox, in their own unit of work ─► reception-end, until acknowledged
```
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import LocalError, RefusedError, RemoteError
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.keyserver import store_channels, store_reception_ends
from sealcast.keyserver.calls import Call, Principal
from sealcast.keyserver.ports import Admission, Ahead
from sealcast.keyserver.service_keys import choose_epochs
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.problems import STATUS_OF
from sealcast.messages.requests import KeyRequest
from sealcast.messages.subscribing import (
    EndAnswer,
    EndRow,
    Permit,
    ReceptionList,
    ReceptionListRequest,
    ReceptionRow,
    SeenRow,
    Stopped,
    StopRequest,
)
from sealcast.server.managers import Managers
from sealcast.server.reception_rows import end_row, stopped
from sealcast.server.relaying import Relay
from sealcast.storage.unitofwork import UnitOfWork

Brought = TypeVar("Brought", bound=msgspec.Struct)


class Permitted(msgspec.Struct, frozen=True):
    """What a manager permitted ahead."""

    epochs: tuple[int, ...]


class Over(msgspec.Struct, frozen=True):
    """What a manager said of a stop: the reception that ended, if one lived, and who says so."""

    row: ReceptionRow | None
    by: str


class ReceptionsApart:
    """Asks reception managers. `admission` makes the port of the key server's own list."""

    def __init__(
        self,
        heartbeat_ms: int,
        managers: Managers,
        *,
        views: Views,
        admission: Callable[[sa.Connection], Admission],
    ) -> None:
        self.heartbeat_ms = heartbeat_ms
        self._managers = managers
        self._views = views
        self._admission = admission
        self._work: UnitOfWork | None = None
        self._relay: Relay | None = None
        self._clock: Clock | None = None

    async def start(self, unit_of_work: UnitOfWork, clock: Clock) -> None:
        """Begin to ask and to tell; in the loop of the server."""
        await self._managers.start()
        self._work, self._clock = unit_of_work, clock
        self._relay = Relay(self._managers, unit_of_work, clock)
        self._relay.start()

    async def close(self) -> None:
        """End that."""
        if self._relay is not None:
            await self._relay.close()
            await self._managers.close()

    def on_undone(self) -> None:
        """Do nothing: what was concluded from work that was rolled back is asked of the database again."""

    @property
    def ahead(self) -> Mapping[str, Ahead]:
        """What is asked of a manager before the operations of these names."""
        return {
            operations.KEYS.name: self._permit_ahead,
            operations.STOP.name: self._stop_ahead,
            operations.RECEPTION_LIST.name: self._list_ahead,
        }

    def permit(self, call: Call, channel: ChannelSpec, epochs: tuple[Epoch, ...]) -> tuple[Epoch, ...]:
        """Return those epochs that the manager permitted; one published since is for the next request."""
        _ = channel
        permitted = _brought(call, Permitted).epochs
        return tuple(epoch for epoch in epochs if epoch in permitted)

    def refused(self, call: Call, channel: ChannelSpec) -> None:
        """Have the manager end what it began for a caller that was removed in between."""
        end = EndRow(device=call.caller.id, channel=channel.number, reason="removed")
        self.end_receptions(call.connection, [end], call.wall_ms)

    def hear(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> bool:
        """Take no heartbeat of one who may have been removed."""
        _ = call, channel, seen
        return False

    def hear_subscribed(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> None:
        """Keep a heartbeat for the next batch."""
        _ = channel
        self._relaying.hear(seen, call.now)

    def stop(self, call: Call, channel: ChannelSpec, request: StopRequest) -> Stopped:
        """Hand on the manager's acknowledgement."""
        self._relaying.forget(call.caller.id, channel.number)
        over = _brought(call, Over)
        return stopped(request.jti, channel.name, over.row, until=iso_time(call.wall_ms), by=over.by)

    def list(self, call: Call, request: ReceptionListRequest, channel: int | None) -> ReceptionList:
        """Hand on what the manager listed."""
        _ = request, channel
        return _brought(call, ReceptionList)

    def end_receptions(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """Put ends into the outbox, in the caller's unit of work."""
        self._relaying.add_ends(connection, ends, wall_ms)

    async def _permit_ahead(self, caller: Principal, request: KeyRequest) -> Permitted:
        """Ask whether a subscribed device may have the keys that it would be given now."""
        plan = await self._unit_of_work.run(partial(self._plan, caller, request.channel))
        if isinstance(plan, RefusedError):
            raise plan
        channel, epochs = plan
        # An end that waits would close the reception that begins now.
        await self._relaying.tell_ends()
        permit = await self._managers.ask(
            operations.RECEPTION_PERMIT,
            Permit,
            device=caller.id,
            channel=channel.number,
            channel_name=channel.name,
            epochs=list(epochs),
        )
        if not permit.permitted:
            reason = permit.reason if permit.reason in STATUS_OF else "not-subscribed"
            raise refusal(reason, permit.detail)
        return Permitted(epochs)

    async def _stop_ahead(self, caller: Principal, request: StopRequest) -> Over:
        """End a reception at the manager; if none answers, it is told later, and the caller hears a no."""
        channel = await self._unit_of_work.run(partial(self._find, request.channel))
        if isinstance(channel, RefusedError):
            raise channel
        try:
            end = end_row(caller.id, channel, request)
        except RemoteError as error:
            raise refusal("bad-request", str(error)) from error
        try:
            answer = await self._managers.ask(operations.RECEPTION_END, EndAnswer, ends=[end])
        except RefusedError as error:
            if error.type == "reception-unavailable":
                await self._unit_of_work.run(partial(self._end_later, end))
            raise
        row = answer.receptions[0] if answer.receptions else None
        return Over(row, self._managers.preferred)

    async def _list_ahead(self, _: Principal, request: ReceptionListRequest) -> ReceptionList:
        number = None
        if request.channel is not None:
            found = partial(store_channels.number_of_any, channel=request.channel)
            number = await self._unit_of_work.run(found)
        if request.channel is not None and number is None:
            return ReceptionList(receptions=[], live=0)
        return await self._managers.ask(
            operations.RECEPTION_LIST,
            ReceptionList,
            channel=None if number is None else str(number),
            device=request.device,
            history=request.history,
            before=request.before,
            limit=request.limit,
        )

    def _plan(
        self, caller: Principal, channel: str, connection: sa.Connection
    ) -> tuple[ChannelSpec, tuple[Epoch, ...]] | RefusedError:
        """Return the channel and the epochs that a device would be given now, or a no; raises nothing.

        What raises in a unit of work makes the server forget what it remembers.
        """
        try:
            view = self._views.get(connection, channel)
        except RefusedError as no:
            return no
        epochs = choose_epochs(view)
        decision = self._admission(connection).permit(caller.id, view.spec.number, epochs, 0)
        if not decision.permitted:
            return refusal(decision.reason, decision.detail)
        return view.spec, epochs

    def _find(self, channel: str, connection: sa.Connection) -> ChannelSpec | RefusedError:
        try:
            return self._views.get(connection, channel).spec
        except RefusedError as no:
            return no

    def _end_later(self, end: EndRow, connection: sa.Connection) -> None:
        """Have the manager told when it is back; a device that asks again and again adds nothing."""
        if self._clock is not None and not store_reception_ends.is_waiting(connection, end):
            self._relaying.add_ends(connection, [end], self._clock.wall_ns() // NS_PER_MS)

    @property
    def _unit_of_work(self) -> UnitOfWork:
        if self._work is None:
            raise LocalError("the reception managers are not asked before the server has started")
        return self._work

    @property
    def _relaying(self) -> Relay:
        if self._relay is None:
            raise LocalError("the reception managers are not told before the server has started")
        return self._relay


def _brought(call: Call, kind: type[Brought]) -> Brought:
    """Return what was asked ahead of this call."""
    if not isinstance(call.ahead, kind):
        raise LocalError("nothing was asked of the reception manager")
    return call.ahead
