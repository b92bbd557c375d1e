"""Owns the ports through which the key server asks other features, near or far."""

from dataclasses import dataclass
from typing import Protocol

from sealcast.core.ids import ChannelNumber, Epoch


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
