"""Owns the ports through which the key server asks other features, near or far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.messages.subscribing import EndRow


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
