"""Owns what a sender's session asks of the world outside: the edge carries these out and answers.

Each action is answered by the session's method of the same row, or by `handle_failed` (no answer: it comes
again later) or `handle_refused` (the key server said no).

| action       | answered by                              |
|--------------|------------------------------------------|
| RenewLease   | handle_lease                             |
| PublishKey   | handle_published                         |
| GenerateKey  | handle_generated                         |
| ConsumeSlot  | handle_consumed, once durable            |
| ReportAir    | handle_reported                          |
| ShareKeys    | handle_shared                            |
"""

from dataclasses import dataclass
from enum import StrEnum

from sealcast.core.ids import Epoch, Ssrc
from sealcast.keys.material import Tek
from sealcast.messages.answers import FenceOrder


class Cause(StrEnum):
    """Why an epoch began."""

    SCHEDULE = "schedule"
    START = "start"
    EVICTION = "eviction"
    COMMAND = "command"


def cause_of(order: FenceOrder) -> Cause:
    """Return why the epoch began that an urgent order of the key server brought forward."""
    return Cause.COMMAND if order.commanded else Cause.EVICTION


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Ask for run slots; those below `first_unused` are consumed."""

    first_unused: Epoch


@dataclass(frozen=True, slots=True)
class PublishKey:
    """Give the key server a key that the sender made."""

    tek: Tek


@dataclass(frozen=True, slots=True)
class GenerateKey:
    """Have the key server make the key of an epoch."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class ConsumeSlot:
    """Record durably that an epoch goes on air; no packet is sealed under it before the answer."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Totals:
    """What one epoch carried so far."""

    epoch: Epoch
    duration_ms: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ReportAir:
    """Tell the key server what is on air."""

    ssrc: Ssrc
    epoch: Epoch
    cause: Cause
    remaining_ms: int
    lifetime_ms: int
    extended: bool
    roc: int
    seq: int
    totals: tuple[Totals, ...]
    ended: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class ShareKeys:
    """Ask for the keys under which other runs of the channel are on air."""

    ssrc: Ssrc


Action = RenewLease | PublishKey | GenerateKey | ConsumeSlot | ReportAir | ShareKeys
