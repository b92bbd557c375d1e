"""Owns what billing's desks share: the database as readers and as the writer have it, settings, the clock."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from sealcast.core.ports import Clock
from sealcast.server.billing.keys import SigningKeys, no_keys
from sealcast.server.settings import BillingSettings
from sealcast.storage.reading import Reader

T = TypeVar("T")


class Write(Protocol):
    """Runs a unit of work, as `UnitOfWork.run`."""

    def __call__(self, work: Callable[[sa.Connection], T]) -> Awaitable[T]:
        """Return the result of `work` once it is durable."""
        ...


@dataclass(frozen=True, slots=True)
class BillingShared:
    """What billing's desks share. Long work is read ahead by `reader`; `write` is for what it needs first.

    `signing_keys` finds what a device's signatures on record verify under.
    """

    operator: str
    reader: Reader
    write: Write
    clock: Clock
    settings: BillingSettings
    signing_keys: SigningKeys = no_keys
