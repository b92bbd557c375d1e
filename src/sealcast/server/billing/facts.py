"""Owns gathering what bills come from, of all features, on one snapshot of the database.

```
payers ─► spans ─┬─► usage: grants on what was on air      ─┐
                 ├─► timelines: assignments, tariffs        ├─► AccountFacts ─► draft
                 └─► what was billed, which periods closed ─┘
```
What many customers share is read once for all of them: the air of a channel, its prices, its name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.billing import store_assignments, store_invoices, store_tariffs
from sealcast.billing.due import MOVED_MS, rated_since
from sealcast.billing.facts import AccountFacts, Billed, SubscriptionFacts
from sealcast.billing.periods import FIRST_MS
from sealcast.billing.rating import LineKey, Span
from sealcast.billing.store_invoices import Mark
from sealcast.billing.timeline import Assignment, Timeline, timelines
from sealcast.keyserver.tables import channels
from sealcast.server.billing import source as billing_source
from sealcast.server.billing.airlogs import AirLogs, AirOfSnapshot
from sealcast.server.billing.payers import Payer

LATE_MARGIN_MS = 3_600_000
"""What was recorded in the hour before a bill may have been written after that bill's snapshot."""

_NAMES = sa.select(channels.c.number, channels.c.name).where(
    channels.c.number.in_(sa.bindparam("wanted", expanding=True))
)

BilledMap = Mapping[tuple[str, int], Mapping[LineKey, Billed]]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a customer, and what tells later whether it was billed since: its `mark`."""

    payer: Payer
    account: AccountFacts
    mark: Mark
    invoiced_at_ms: int


class FactsReader:
    """Reads the facts of some customers on one snapshot; `logs` are kept between pages."""

    def __init__(
        self, connection: sa.Connection, payers: Iterable[Payer], logs: AirLogs, now_ms: int
    ) -> None:
        self._connection = connection
        self._payers = tuple(payers)
        self._air = AirOfSnapshot(connection, logs)
        self._now_ms = now_ms
        devices = [device for payer in self._payers for device in payer.devices]
        self._spans: dict[str, dict[int, tuple[Span, ...]]] = {}
        for (device, channel), spans in billing_source.spans_of(connection, devices).items():
            self._spans.setdefault(device, {})[channel] = spans
        wanted = {channel for each in self._spans.values() for channel in each}
        self._assignments = store_assignments.assignments(connection, wanted, devices)
        self._names = {row.number: row.name for row in connection.execute(_NAMES, {"wanted": sorted(wanted)})}
        self._own = {
            (each.device, channel)
            for channel, found in self._assignments.items()
            for each in found
            if each.device is not None
        }
        self._tariffs = store_tariffs.tariffs(connection)
        self._shared: dict[int, tuple[Timeline, ...]] = {}

    def known(self) -> Iterator[Known]:
        """Give what is known of each customer, in order; each is read when it is asked for."""
        ids = [payer.customer.id for payer in self._payers]
        marks = store_invoices.marks(self._connection, ids)
        closed_by_customer = store_invoices.closed_periods(self._connection, ids)
        invoiced_at_ms = store_invoices.invoiced_at(self._connection, ids)
        for payer in self._payers:
            customer = payer.customer
            closed, mark = closed_by_customer[customer.id], marks[customer.id]
            billed_at_ms = max((each.closed_at_ms for each in closed), default=FIRST_MS)
            ended_ms = max((each.end_ms for each in closed), default=None)
            late_ms = None if ended_ms is None else self._late_from(payer, billed_at_ms)
            since_ms = rated_since(customer.cycle, ended_ms, self._now_ms, late_ms)
            read_ms = max(FIRST_MS, since_ms - MOVED_MS)
            account = AccountFacts(
                customer=customer.id,
                name=customer.name,
                cycle=customer.cycle,
                subscriptions=tuple(self._subscriptions(payer, read_ms, has_bills=mark[0] > 0)),
                closed_ms=frozenset(each.start_ms for each in closed),
                ends_ms=frozenset(each.end_ms for each in closed),
                since_ms=since_ms,
            )
            yield Known(payer, account, mark, invoiced_at_ms.get(customer.id, FIRST_MS))

    def _late_from(self, payer: Payer, billed_at_ms: int) -> int | None:
        """Return since when periods have to be rated anew: for late usage, and credits to be billed again."""
        recorded_ms = max(FIRST_MS, billed_at_ms - LATE_MARGIN_MS)
        found = [
            self._air.recorded_since(channel, recorded_ms)
            for device in payer.devices
            for channel in self._spans.get(device, {})
        ]
        found.append(store_invoices.rebilled_from(self._connection, payer.customer.id))
        return min((each for each in found if each is not None), default=None)

    def _subscriptions(self, payer: Payer, since_ms: int, *, has_bills: bool) -> Iterator[SubscriptionFacts]:
        for device in payer.devices:
            spans_by_channel = self._spans.get(device, {})
            if not spans_by_channel:
                continue
            billed = _billed(self._connection, device, since_ms) if has_bills else {}
            for channel, spans in sorted(spans_by_channel.items()):
                found = self._timelines(device, channel)
                if found or channel in billed:
                    yield self._subscription(device, channel, spans, since_ms, billed.get(channel, {}))

    def _subscription(
        self, device: str, channel: int, spans: tuple[Span, ...], since_ms: int, billed: BilledMap
    ) -> SubscriptionFacts:
        connection = self._connection
        air = self._air.log(channel, since_ms)
        is_live = any(span.end_ms is None for span in spans)
        return SubscriptionFacts(
            device=device,
            channel=channel,
            channel_name=self._names.get(channel, str(channel)),
            spans=spans,
            timelines=self._timelines(device, channel),
            events=billing_source.usage_of(connection, device, air),
            # Whoever is subscribed gets no last bill, and only that depends on it.
            is_pending=not is_live and billing_source.pending(connection, device, self._air.ahead(channel)),
            open_since_ms=self._air.open_since(channel),
            billed=billed,
        )

    def _timelines(self, device: str, channel: int) -> tuple[Timeline, ...]:
        assigned: tuple[Assignment, ...] = self._assignments.get(channel, ())
        if (device, channel) in self._own:
            return timelines(assigned, device, self._tariffs)
        if channel not in self._shared:
            self._shared[channel] = timelines(assigned, device, self._tariffs)
        return self._shared[channel]


def _billed(
    connection: sa.Connection, device: str, since_ms: int
) -> dict[int, dict[tuple[str, int], dict[LineKey, Billed]]]:
    """Return what was billed of a device by channel, then by currency and period, then by line."""
    found: dict[int, dict[tuple[str, int], dict[LineKey, Billed]]] = {}
    for row in store_invoices.billed(connection, device, since_ms):
        lines = found.setdefault(row.channel, {}).setdefault((row.currency, row.period_start_ms), {})
        lines[LineKey(row.version_from_ms, row.name)] = Billed(row.minor, row.units)
    return found
