"""Owns what a sender's session tells of itself."""

from dataclasses import dataclass

from sealcast.core.ids import Epoch


@dataclass(frozen=True, slots=True)
class SenderState:
    """What a person watching a sender wants to know."""

    epoch: Epoch | None
    next_epoch: Epoch | None
    remaining_ms: int
    extended: bool
    packets: int
    bytes: int
    key_changes: int
    roc: int
