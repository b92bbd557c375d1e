"""Owns the facts that a customer's bills come from: subscriptions, usage, prices, what was billed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sealcast.billing.periods import FIRST_MS, BillingCycle
from sealcast.billing.rating import LineKey, Span
from sealcast.billing.timeline import Timeline
from sealcast.billing.usage import UsageEvent


@dataclass(frozen=True, slots=True)
class Billed:
    """What earlier bills of a period say on one line: the sums of their minor units and of their units."""

    minor: int
    units: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """What is known of one device on one channel.

    `events` are its usage: all that ends after the account's `since_ms`, and all that share a turn of the
    schedule with one of them. `is_pending`: it was granted a key that it has not erased, of an epoch that is
    to go on air or is not settled. `open_since_ms`: when the channel's first epoch began that is not settled.
    `billed` is what was billed, by (currency, start of the period).
    """

    device: str
    channel: int
    channel_name: str
    spans: tuple[Span, ...]
    timelines: tuple[Timeline, ...]
    events: tuple[UsageEvent, ...]
    is_pending: bool = False
    open_since_ms: int | None = None
    billed: Mapping[tuple[str, int], Mapping[LineKey, Billed]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What is known of one customer; `closed_ms` are the starts of closed periods, `ends_ms` their ends.

    Periods that begin before `since_ms` are left alone: `due.rated_since` says what it has to be.
    """

    customer: str
    name: str
    cycle: BillingCycle
    subscriptions: tuple[SubscriptionFacts, ...]
    closed_ms: frozenset[int] = frozenset()
    since_ms: int = FIRST_MS
    ends_ms: frozenset[int] = frozenset()
