"""A small world for billing's stories: who subscribed, what was granted and on air, and the bills of it.

```
subscribe, grant, withdraw ─┐
on air, late reports        ├─► counting ─► metering ─► timelines ─► draft ─► what was billed ─► next draft
tariffs, assignments        ┘
```
Nothing but a database is left out: usage is known once an epoch is settled, and each draft rests on the facts
that a server would gather at that instant, no more.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field, replace

from sealcast.billing.air import Aired, AirLog
from sealcast.billing.closing import Draft, DraftInvoice, DraftLine, draft
from sealcast.billing.counting import Erasure, GrantRow
from sealcast.billing.due import rated_since
from sealcast.billing.facts import AccountFacts, Billed, SubscriptionFacts
from sealcast.billing.metering import air_log
from sealcast.billing.periods import BillingCycle, Period, PeriodKind
from sealcast.billing.rating import LineKey, Span
from sealcast.billing.tariffs import Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, timelines
from sealcast.billing.usage import UsageEvent
from sealcast.ledger.money import parse_amount

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
NEWS = 7
"""The channel of most stories."""

NEVER_MS = 10**15


def at(text: str) -> int:
    """Return the UTC ms of an instant in ISO 8601."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000)


def cycle(kind: PeriodKind = PeriodKind.MONTHLY, zone: str = "UTC", day: int = 1) -> BillingCycle:
    """Return a billing cycle, monthly from the first in UTC unless told."""
    return BillingCycle(kind, zone, day)


def flat(amount: str, name: str = "Subscription") -> Price:
    """Return a price of a whole period."""
    return Price(name, Quantity.PERIODS, (Step(parse_amount(amount)),))


def by(quantity: Quantity, amount: str, per: int = 1, free: int = 0) -> Price:
    """Return a price of one step."""
    return Price(str(quantity), quantity, (Step(parse_amount(amount), per),), free=free)


@dataclass(frozen=True, slots=True)
class Known:
    """Something on air, and since when the key server has it on record."""

    aired: Aired
    recorded_at_ms: int


@dataclass(slots=True)
class World:
    """All that happens, and what was billed of it; instants are ms."""

    cycle: BillingCycle
    settle_ms: int = 15 * SECOND_MS
    wait_ms: int = DAY_MS
    lifetime_ms: int = 10 * MINUTE_MS
    tariffs: dict[str, Tariff] = field(default_factory=dict)
    assignments: dict[int, list[Assignment]] = field(default_factory=lambda: defaultdict(list))
    spans: dict[tuple[str, int], list[Span]] = field(default_factory=dict)
    grants: dict[tuple[str, int], list[GrantRow]] = field(default_factory=lambda: defaultdict(list))
    erasures: dict[tuple[str, int], list[Erasure]] = field(default_factory=lambda: defaultdict(list))
    air: dict[int, list[Known]] = field(default_factory=lambda: defaultdict(list))
    planned: dict[int, dict[int, int | None]] = field(default_factory=lambda: defaultdict(dict))
    bills: list[DraftInvoice] = field(default_factory=list)
    closed: dict[int, Period] = field(default_factory=dict)
    closed_at_ms: int = -1

    # What happens

    def tariff(
        self, name: str, *prices: Price, code: str = "EUR", since_ms: int = 0, **limits: int | None
    ) -> None:
        """Add a tariff, or another version of one."""
        version = TariffVersion(code, since_ms, prices, **limits)  # type: ignore[arg-type]
        before = self.tariffs[name].versions if name in self.tariffs else ()
        self.tariffs[name] = Tariff(name, (*before, version))

    def assign(
        self, tariff: str | None, from_ms: int = 0, channel: int = NEWS, device: str | None = None
    ) -> None:
        """Give a channel, or one device on it, a tariff."""
        self.assignments[channel].append(Assignment(from_ms, tariff, device))

    def subscribe(self, at_ms: int, device: str = "TV", channel: int = NEWS) -> None:
        """Begin a subscription."""
        self.spans.setdefault((device, channel), []).append(Span(at_ms))

    def leave(self, at_ms: int, device: str = "TV", channel: int = NEWS) -> None:
        """End a subscription, with nothing said of keys."""
        held = self.spans[device, channel]
        held[-1] = Span(held[-1].start_ms, at_ms)

    def erase(
        self,
        at_ms: int,
        *epochs: int,
        device: str = "TV",
        channel: int = NEWS,
        begun_at_ms: int = -1,
    ) -> None:
        """Verify a statement that the keys of `epochs` are destroyed, that arrives at `at_ms`."""
        begun = at_ms if begun_at_ms < 0 else begun_at_ms
        for epoch in epochs:
            fresh = self.planned[channel].get(epoch)
            self.erasures[device, channel].append(Erasure(epoch, begun, at_ms, fresh))

    def grant(
        self, at_ms: int, *epochs: int, device: str = "TV", channel: int = NEWS, until: int | None = None
    ) -> None:
        """Give a device the keys of epochs, or with `until` all of the chain from there on."""
        self.grants[device, channel] += [GrantRow(epoch, at_ms, until) for epoch in epochs]

    def plan(self, *epochs: int, channel: int = NEWS, fresh_at: int | None = None) -> None:
        """Make epochs that may go on air."""
        self.planned[channel].update(dict.fromkeys(epochs, fresh_at))

    def on_air(
        self, epoch: int, start_ms: int, end_ms: int, size: int = 0, packets: int = 0, *,
        channel: int = NEWS, cause: str = "schedule", fresh_at: int | None = None,
    ) -> None:  # fmt: skip
        """Send under an epoch; the server has it on record once that is over and settled."""
        aired = Aired(channel, epoch, cause, start_ms, end_ms, size, packets, fresh_at=fresh_at)
        self.air[channel].append(Known(aired, end_ms + self.settle_ms))
        self.plan(epoch, channel=channel, fresh_at=fresh_at)

    def begin(self, epoch: int, start_ms: int, channel: int, cause: str = "schedule") -> None:
        """Go on air under an epoch, of which nobody knows yet when it ends."""
        aired = Aired(channel, epoch, cause, start_ms, NEVER_MS, 0, 0)
        self.air[channel].append(Known(aired, NEVER_MS))
        self.plan(epoch, channel=channel)

    def end(self, end_ms: int, size: int, packets: int, channel: int, delay_ms: int = 0) -> None:
        """End what is on air; the server has it on record once it is settled, or `delay_ms` later."""
        known = self.air[channel]
        begun = next(at for at, each in enumerate(known) if each.aired.end_ms == NEVER_MS)
        before_ms = max((each.recorded_at_ms for at, each in enumerate(known) if at != begun), default=0)
        aired = replace(known[begun].aired, end_ms=end_ms, bytes=size, packets=packets)
        known[begun] = Known(aired, max(before_ms, end_ms + self.settle_ms + delay_ms))

    def late(self, epoch: int, at_ms: int, size: int, packets: int = 0, channel: int = NEWS) -> None:
        """Hear more of an epoch after it was on record."""
        parts = [each.aired for each in self.air[channel] if each.aired.epoch == epoch]
        more = replace(parts[-1], part=len(parts) + 1, start_ms=parts[0].end_ms, bytes=size, packets=packets)
        self.air[channel].append(Known(more, at_ms))

    # What is known

    def facts(self, now_ms: int, since_ms: int | None = None) -> AccountFacts:
        """Gather what a server knows at an instant, as far back as it has to (or from `since_ms` on)."""
        if since_ms is None:
            ends = [period.end_ms for period in self.closed.values() if period.end_ms is not None]
            late = [
                known.aired.start_ms
                for known in (each for channel in self.air.values() for each in channel)
                if self.closed_at_ms <= known.recorded_at_ms <= now_ms
            ]
            since_ms = rated_since(
                self.cycle, max(ends, default=None), now_ms, min(late, default=None)
            )  # fmt: skip
        subscriptions = tuple(self._subscription(place, now_ms, since_ms) for place in sorted(self.spans))
        return AccountFacts("home", "Home", self.cycle, subscriptions, frozenset(self.closed), since_ms)

    def usage(
        self, now_ms: int = NEVER_MS, device: str = "TV", channel: int = NEWS
    ) -> tuple[UsageEvent, ...]:
        """Return what is metered of a device by an instant."""
        place = device, channel
        grants = [grant for grant in self.grants[place] if grant.granted_at_ms <= now_ms]
        erasures = [each for each in self.erasures[place] if each.erased_at_ms <= now_ms]
        return self._log(channel, now_ms).usage(device, grants, erasures)

    def _log(self, channel: int, now_ms: int) -> AirLog:
        recorded = (each.aired for each in self.air[channel] if each.recorded_at_ms <= now_ms)
        return air_log(channel, recorded, self.lifetime_ms)

    def _subscription(self, place: tuple[str, int], now_ms: int, since_ms: int) -> SubscriptionFacts:
        device, channel = place
        events = self.usage(now_ms, device, channel)
        wanted = {event.turn for event in events if event.end_ms > since_ms or event.start_ms >= since_ms}
        spans = (span for span in self.spans[place] if span.start_ms <= now_ms)
        opened = [
            each.aired.start_ms
            for each in self.air[channel]
            if each.aired.part == 1 and each.aired.start_ms <= now_ms < each.recorded_at_ms
        ]
        return SubscriptionFacts(
            device,
            channel,
            f"channel-{channel}",
            tuple(replace(span, end_ms=None) if (span.end_ms or 0) > now_ms else span for span in spans),
            timelines(self.assignments[channel], device, self.tariffs),
            tuple(event for event in events if event.turn in wanted),
            self._is_pending(place, now_ms),
            min(opened, default=None),
            self.billed(place),
        )

    def _is_pending(self, place: tuple[str, int], now_ms: int) -> bool:
        """Whether a grant counts for an epoch that is on air or not settled, or would for one ahead."""
        channel = place[1]
        begun = {each.aired.epoch: each for each in self.air[channel] if each.aired.start_ms <= now_ms}
        newest = max(begun, default=0)
        ahead = [
            Aired(channel, epoch, "schedule", NEVER_MS, NEVER_MS, 0, 0, fresh_at=fresh_at)
            for epoch, fresh_at in self.planned[channel].items()
            if epoch > newest
        ]
        ahead += [each.aired for each in begun.values() if each.recorded_at_ms > now_ms]
        grants = [grant for grant in self.grants[place] if grant.granted_at_ms <= now_ms]
        erasures = [each for each in self.erasures[place] if each.erased_at_ms <= now_ms]
        log = AirLog(channel, ahead)
        return bool(log.epochs(grants, erasures) & {each.epoch for each in ahead})

    # Bills

    def close(self, now_ms: int) -> tuple[DraftInvoice, ...]:
        """Close what is due at an instant, and return the bills that this makes."""
        drafted = self.draft(now_ms)
        self.bills += drafted.invoices
        self.closed.update({period.start_ms: period for period in drafted.closes})
        if drafted.invoices or drafted.closes:
            self.closed_at_ms = now_ms
        return drafted.invoices

    def draft(self, now_ms: int) -> Draft:
        """Return what closing would come to."""
        return draft(self.facts(now_ms), now_ms, self.settle_ms, self.wait_ms)

    def lines(self) -> list[DraftLine]:
        """Return the lines of all bills so far."""
        return [line for bill in self.bills for line in bill.lines]

    def billed(self, place: tuple[str, int]) -> dict[tuple[str, int], dict[LineKey, Billed]]:
        """Return what was billed of a subscription."""
        found: dict[tuple[str, int], dict[LineKey, Billed]] = {}
        for bill in self.bills:
            for line in bill.lines:
                if (line.device, line.channel) == place:
                    of = found.setdefault((bill.currency, line.period.start_ms), {})
                    before = of.get(line.key, Billed(0))
                    of[line.key] = Billed(before.minor + line.due_minor, before.units + line.added_units)
        return found

    def due(self, now_ms: int) -> list[int]:
        """Close, and return the totals of the bills that this makes."""
        return [bill.total_minor for bill in self.close(now_ms)]

    def total(self, currency: str = "EUR") -> int:
        """Return the sum of all bills so far."""
        return sum(bill.total_minor for bill in self.bills if bill.currency == currency)
