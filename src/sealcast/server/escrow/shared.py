"""Owns what the escrow's desks share: who the escrow is, its treasury, chance, reads beside the writer."""

from collections.abc import Callable
from dataclasses import dataclass

from sealcast.core.ports import Random
from sealcast.escrow.house import House
from sealcast.escrow.moving import Treasury
from sealcast.storage.reading import Reader


def _nobody() -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class EscrowShared:
    """What desks share. `on_claim` is told in the writer's thread that money is to be moved elsewhere."""

    house: House
    treasury: Treasury
    random: Random
    reader: Reader
    on_claim: Callable[[], None] = _nobody
