"""Owns the question which periods of a customer are billed now, and which are to wait, and why.

```
over for settle_ms, nothing of it on air or unsettled      new      is closed, and has its bill
the same, but waits for an epoch                           waiting  until wait_ms after its end
closed before                                              closed   late usage joins the next bill
under way, and the customer has left for good              leaving  the last bill, at once; not closed
```
Where only the customer ends periods, each time that a device is subscribed is one: from its beginning to the
next beginning, the first from 1970 on, so that an epoch on air at either moment lies in exactly one.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sealcast.billing.facts import AccountFacts, SubscriptionFacts
from sealcast.billing.periods import FIRST_MS, LAST_MS, BillingCycle, Period, PeriodKind
from sealcast.billing.rating import Span
from sealcast.billing.usage import UsageEvent

RERATED_MS = 35 * 86_400_000
"""A month and some days: senders and other servers report the rest of an epoch within seconds or hours."""


MOVED_MS = 12 * 3_600_000
"""A zone's midnights move by less when a government, or the database of zones, changes its mind."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rated now, the calendar's periods that are closed by it, and what is waited for, in words."""

    periods: tuple[tuple[SubscriptionFacts, Period], ...] = ()
    closes: tuple[Period, ...] = ()
    waiting: str | None = None


def plan(account: AccountFacts, now_ms: int, settle_ms: int, wait_ms: int) -> Plan:
    """Return what is billed now. Usage that came late waits for a bill, unless none is to come."""
    if account.cycle.kind is PeriodKind.CLOSING:
        return _plan_runs(account, now_ms, settle_ms, wait_ms)
    return _plan_calendar(account, now_ms, settle_ms, wait_ms)


def rated_since(
    cycle: BillingCycle, last_closed_end_ms: int | None, now_ms: int, late_from_ms: int | None = None
) -> int:
    """Return from which instant on the facts of a customer have to be complete: `AccountFacts.since_ms`.

    `last_closed_end_ms` is the latest end of its closed periods. `late_from_ms` is where the earliest usage
    begins that was recorded since a period was last closed, at that instant too, or that of a device which
    joined since. Periods that ended less than `RERATED_MS` ago are rated again in any case. Where only the
    customer ends periods, all are.
    """
    if last_closed_end_ms is None or cycle.kind is PeriodKind.CLOSING:
        return FIRST_MS
    bounds = (last_closed_end_ms, now_ms - RERATED_MS, late_from_ms)
    return cycle.period_at(max(FIRST_MS, min(each for each in bounds if each is not None))).start_ms


def _plan_calendar(account: AccountFacts, now_ms: int, settle_ms: int, wait_ms: int) -> Plan:
    calendar = _Calendar.of(account)
    touched = [
        (each, period)
        for each in account.subscriptions
        for period in _touched(each, calendar, account.since_ms, now_ms)
    ]
    has_left = all(_has_left(each) for each in account.subscriptions)
    rated: set[Period] = set()
    closes: list[Period] = []
    waiting: str | None = None
    for period in sorted({period for _, period in touched}, key=lambda each: each.start_ms):
        end_ms = LAST_MS if period.end_ms is None else period.end_ms
        why = None if now_ms >= end_ms + wait_ms else _unsettled(account, end_ms)
        is_closed = period.start_ms in account.closed_ms
        if not is_closed and now_ms >= end_ms + settle_ms and why is None:
            closes.append(period)
            rated.add(period)
        elif is_closed or has_left:
            rated.add(period)
        elif now_ms >= end_ms and waiting is None:
            waiting = why or "its last epochs are being settled"
    if not closes and not has_left:
        return Plan(waiting=waiting)
    return Plan(tuple(each for each in touched if each[1] in rated), tuple(closes), waiting)


def _plan_runs(account: AccountFacts, now_ms: int, settle_ms: int, wait_ms: int) -> Plan:
    """Plan for a customer whose periods are those in which a device was subscribed."""
    rated: list[tuple[SubscriptionFacts, Period]] = []
    waiting: str | None = None
    is_due = False
    for subscription in account.subscriptions:
        for period, end_ms, is_last in _runs(subscription):
            if period.start_ms < account.since_ms or end_ms is None:
                continue
            if any(start_ms == period.start_ms for _, start_ms in subscription.billed):
                rated.append((subscription, period))
                continue
            why = _unsettled_of(subscription, end_ms, may_pend=is_last)
            if now_ms >= end_ms + settle_ms and (why is None or now_ms >= end_ms + wait_ms):
                rated.append((subscription, period))
                is_due = True
            elif waiting is None:
                waiting = why or "its last epochs are being settled"
    if is_due or all(_has_left(each) for each in account.subscriptions):
        return Plan(tuple(rated), (), waiting)
    return Plan(waiting=waiting)


def _runs(subscription: SubscriptionFacts) -> Iterator[tuple[Period, int | None, bool]]:
    """Yield (period, end of the subscription, whether it is the last) of each time of being subscribed."""
    held = _united([(span.start_ms, _end_ms(span)) for span in subscription.spans])
    starts_ms = [FIRST_MS, *(start_ms for start_ms, _ in held[1:])]
    followed_ms = [*starts_ms[1:], None]
    for (_, end_ms), start_ms, following_ms in zip(held, starts_ms, followed_ms, strict=True):
        period = Period(start_ms, following_ms, is_run=True)
        yield period, None if end_ms == LAST_MS else end_ms, following_ms is None


def _end_ms(span: Span) -> int:
    return LAST_MS if span.end_ms is None else span.end_ms


def _has_left(subscription: SubscriptionFacts) -> bool:
    """Whether nothing more can be charged: not subscribed, no key left, all that was on air settled."""
    is_live = any(span.end_ms is None for span in subscription.spans)
    return not is_live and not subscription.is_pending and not _awaits(subscription, LAST_MS)


def _awaits(subscription: SubscriptionFacts, before_ms: int) -> bool:
    """Whether an epoch that began before an instant, and may yet be charged, is not settled."""
    open_ms = subscription.open_since_ms
    if open_ms is None or open_ms >= before_ms:
        return False
    return subscription.is_pending or any(
        span.end_ms is None or span.end_ms > open_ms for span in subscription.spans
    )


def _unsettled(account: AccountFacts, end_ms: int) -> str | None:
    """Return what a period that ends at an instant waits for, if for anything."""
    for each in account.subscriptions:
        if _awaits(each, end_ms):
            return _why(each)
    return None


def _unsettled_of(subscription: SubscriptionFacts, end_ms: int, *, may_pend: bool) -> str | None:
    if _awaits(subscription, end_ms):
        return _why(subscription)
    if may_pend and subscription.is_pending:
        return f"{subscription.device} has keys of {subscription.channel_name} whose epochs are not over"
    return None


def _why(subscription: SubscriptionFacts) -> str:
    return f"an epoch of {subscription.channel_name} that began before its end is not settled"


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The periods of a customer: where one began or ended when it was billed, it does so for ever.

    `known_ms` are those instants, in order. A midnight of the cycle near to one of them is that one: if the
    rules of a zone are found to be others than those in the database when a bill was made, nothing that was
    billed lies in two periods.
    """

    cycle: BillingCycle
    known_ms: tuple[int, ...]

    @classmethod
    def of(cls, account: AccountFacts) -> "_Calendar":
        """Return the calendar of a customer."""
        billed = {start_ms for each in account.subscriptions for _, start_ms in each.billed}
        return cls(account.cycle, tuple(sorted(billed | account.closed_ms | account.ends_ms)))

    def period_at(self, instant_ms: int) -> Period:
        """Return the period in which an instant lies."""
        period = self._moved(_period_from(self.cycle, instant_ms))
        if instant_ms < period.start_ms:
            return self._moved(_period_from(self.cycle, period.start_ms - MOVED_MS))
        if period.end_ms is not None and instant_ms >= period.end_ms:
            return self._moved(_period_from(self.cycle, period.end_ms + MOVED_MS))
        return period

    def _moved(self, period: Period) -> Period:
        if period.end_ms is None:
            return period
        return Period(self._nearest(period.start_ms), self._nearest(period.end_ms))

    def _nearest(self, midnight_ms: int) -> int:
        place = bisect_left(self.known_ms, midnight_ms)
        near = self.known_ms[max(0, place - 1) : place + 1]
        found = min(near, key=lambda each: abs(each - midnight_ms), default=midnight_ms)
        return found if abs(found - midnight_ms) < MOVED_MS else midnight_ms


def _touched(
    subscription: SubscriptionFacts, calendar: _Calendar, since_ms: int, now_ms: int
) -> list[Period]:
    """Return the periods from an instant on in which anything was subscribed, used or billed."""
    found: set[Period] = set()
    stretches = [(span.start_ms, min(now_ms, _end_ms(span))) for span in subscription.spans]
    stretches += _used(subscription.events)
    stretches += [(start_ms, start_ms) for _, start_ms in subscription.billed]
    # What has no length lies behind its instant: at the end of a period it belongs to the next.
    for start_ms, end_ms in _united([(first, max(last, first + 1)) for first, last in stretches]):
        at_ms = max(start_ms, since_ms)
        if at_ms >= end_ms:
            continue
        period = calendar.period_at(at_ms)
        while True:
            found.add(period)
            if period.end_ms is None or period.end_ms >= end_ms:
                break
            period = calendar.period_at(period.end_ms)
    known = (each for each in found if since_ms - MOVED_MS < each.start_ms <= now_ms)
    return sorted(known, key=lambda each: each.start_ms)


def _used(events: Sequence[UsageEvent]) -> Iterator[tuple[int, int]]:
    """Give the stretches of events; those that follow each other are one, so they are few."""
    first_ms = last_ms = -1
    for event in events:
        start_ms = event.start_ms
        end_ms = event.end_ms if event.end_ms > start_ms else start_ms + 1
        if first_ms <= start_ms <= last_ms:
            last_ms = max(last_ms, end_ms)
        else:
            if last_ms >= 0:
                yield first_ms, last_ms
            first_ms, last_ms = start_ms, end_ms
    if last_ms >= 0:
        yield first_ms, last_ms


def _united(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches of time in order and without overlap; those that touch are one."""
    united: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(stretches):
        if united and start_ms <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], end_ms))
        else:
            united.append((start_ms, end_ms))
    return united


@lru_cache(maxsize=4_096)
def _period_from(cycle: BillingCycle, start_ms: int) -> Period:
    """Return the period of an instant, mostly one where another ends: customers of one cycle share them."""
    return cycle.period_at(start_ms)
