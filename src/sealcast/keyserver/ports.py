"""Owns the ports through which the key server asks other features, near or far."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver.calls import Call, Principal
from sealcast.messages.subscribing import (
    EndRow,
    ReceptionList,
    ReceptionListRequest,
    SeenRow,
    Stopped,
    StopRequest,
)

Ahead = Callable[[Principal, Any], Awaitable[msgspec.Struct]]
"""What is asked of other servers before an operation's transaction begins (`calls.Handler.ahead`)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a device may have keys; `reason` is the name of a problem if not, `detail` its one line."""

    permitted: bool
    reason: str = "not-subscribed"
    detail: str = ""


class Admission(Protocol):
    """Decides on each key request: the allow list here, a reception manager elsewhere."""

    def permit(self, device: str, channel: ChannelNumber, epochs: tuple[Epoch, ...], now: int) -> Decision:
        """Decide whether `device` may have the keys of `epochs` (none if nothing is published yet).

        `now` is the key server's wall clock in ms, for records of the reception.
        """
        ...

    def permit_all(
        self, asked: Sequence[tuple[str, ChannelNumber, tuple[Epoch, ...]]], now: int
    ) -> Sequence[Decision]:
        """Do as `permit` for many: device, channel and epochs of each, in their order."""
        ...

    def audience(self, channel: ChannelNumber) -> int:
        """Return how many devices may have the keys of a channel."""
        ...


class ReceptionEnds(Protocol):
    """Ends receptions for whoever ends the right to receive: withdrawal, removal of device or channel."""

    def end_receptions(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """End receptions in the caller's unit of work: they end if and only if the deed is done.

        Those that do not live stay as they are. Where a reception manager stands apart, it is told after the
        commit, until it acknowledges. `wall_ms` is the instant of the end.
        """
        ...


class Receptions(ReceptionEnds, Protocol):
    """Knows who receives what: here, or by a reception manager that stands apart.

    All but `ahead` is called in a unit of work. `heartbeat_ms` is how often receivers say that they live.
    """

    heartbeat_ms: int

    @property
    def ahead(self) -> Mapping[str, Ahead]:
        """What the operations of these names ask elsewhere before their transaction."""
        ...

    def permit(self, call: Call, channel: ChannelSpec, epochs: tuple[Epoch, ...]) -> tuple[Epoch, ...]:
        """Record that a subscribed caller receives a channel; return which of `epochs` it may have."""
        ...

    def refused(self, call: Call, channel: ChannelSpec) -> None:
        """Hear that a caller that may have been permitted ahead is not subscribed after all."""
        ...

    def hear(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> bool:
        """Record a heartbeat; False if it takes one who is known to be subscribed (`hear_subscribed`)."""
        ...

    def hear_subscribed(self, call: Call, channel: ChannelSpec, seen: SeenRow) -> None:
        """Record a heartbeat of a subscribed caller."""
        ...

    def stop(self, call: Call, channel: ChannelSpec, request: StopRequest) -> Stopped:
        """End the caller's reception and acknowledge it."""
        ...

    def list(self, call: Call, request: ReceptionListRequest, channel: int | None) -> ReceptionList:
        """Return who receives, or received; `channel` is the number of the one asked for."""
        ...

    async def close(self) -> None:
        """Finish what is under way; before the database closes."""
        ...
