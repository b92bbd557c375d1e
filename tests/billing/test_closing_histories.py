"""Any history with closings at any moments: the bills add up to one bill of everything at its end."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from billing.world import DAY_MS, HOUR_MS, MINUTE_MS, NEVER_MS, World
from sealcast.billing.closing import DraftLine, draft
from sealcast.billing.facts import AccountFacts
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.rating import merge_spans
from sealcast.billing.tariffs import Mode, Price, Quantity, Step

YEAR_MS = 365 * DAY_MS
START_MS = 40 * YEAR_MS
DEVICES, CHANNELS = ("TV", "PC"), (7, 8)
STEPS_MS = (1, MINUTE_MS, HOUR_MS, DAY_MS // 2, 3 * DAY_MS, 20 * DAY_MS)
CYCLES = (
    BillingCycle(PeriodKind.DAILY, "Europe/Berlin"),
    BillingCycle(PeriodKind.WEEKLY, "Pacific/Kiritimati", 3),
    BillingCycle(PeriodKind.MONTHLY, "Pacific/Pago_Pago", 31),
    BillingCycle(PeriodKind.CLOSING),
)
COUNTED = (
    Price("Packets", Quantity.PACKETS, (Step(7_000, 10, 50), Step(3_000)), free=5),
    Price("Air", Quantity.RECEIVED_MS, (Step(100_000, 3_600_000, 10_000_000), Step(1)), Mode.VOLUME),
    Price("Keys", Quantity.EPOCHS, (Step(333_333),)),
    Price("Subscribed", Quantity.SUBSCRIBED_MS, (Step(1_000_000, DAY_MS),)),
)
"""Every tariff has these, so that each unit of each event is on some line."""


class Histories(RuleBasedStateMachine):
    """Two devices of one customer on two channels, through whatever may happen."""

    world: World
    now_ms = START_MS
    epochs: dict[int, int]

    @initialize(cycle=st.sampled_from(CYCLES), wait_ms=st.sampled_from([HOUR_MS, DAY_MS, 30 * DAY_MS]))
    def begin(self, cycle: BillingCycle, wait_ms: int) -> None:
        """Give each channel a tariff from the beginning on."""
        self.world = World(cycle, wait_ms=wait_ms, lifetime_ms=HOUR_MS)
        flat = Price("Flat", Quantity.PERIODS, (Step(9_990_000),))
        self.world.tariff("plain", *COUNTED)
        limits = {"minimum_micro": 4_000_000, "cap_micro": 15_000_000}
        self.world.tariff("full", flat, *COUNTED, tax_ppm=190_000, **limits)
        self.world.tariff("yen", flat, *COUNTED, code="JPY", tax_ppm=100_000)
        for channel, tariff in zip(CHANNELS, ("plain", "full"), strict=True):
            self.world.assign(tariff, channel=channel)
        self.epochs = dict.fromkeys(CHANNELS, 0)

    @rule(step=st.sampled_from(STEPS_MS), times=st.integers(1, 3))
    def wait(self, step: int, times: int) -> None:
        """Let time pass."""
        self.now_ms += step * times

    @rule()
    def wait_for_the_edge(self) -> None:
        """Let time pass to the very beginning of the next period."""
        cycle = self.world.cycle
        day = BillingCycle(PeriodKind.DAILY) if cycle.kind is PeriodKind.CLOSING else cycle
        self.now_ms = day.period_at(self.now_ms).end_ms or self.now_ms

    @rule(device=st.sampled_from(DEVICES), channel=st.sampled_from(CHANNELS))
    def subscribe_or_leave(self, device: str, channel: int) -> None:
        """Begin or end a subscription, for instance within the same millisecond."""
        if self.is_live(device, channel):
            self.world.leave(self.now_ms, device, channel)
        else:
            self.world.subscribe(self.now_ms, device, channel)

    def is_live(self, device: str, channel: int) -> bool:
        """Whether a device is subscribed now."""
        held = self.world.spans.get((device, channel), [])
        return bool(held) and held[-1].end_ms is None

    @rule(
        channel=st.sampled_from(CHANNELS),
        cause=st.sampled_from(["schedule", "schedule", "start", "eviction"]),
        packets=st.integers(0, 400),
        delay_ms=st.sampled_from([0, 0, HOUR_MS, 2 * DAY_MS, 60 * DAY_MS]),
        to=st.sampled_from([(), DEVICES, DEVICES]),
    )
    def change_key(
        self, channel: int, cause: str, packets: int, delay_ms: int, to: tuple[str, ...] = DEVICES
    ) -> None:
        """Begin the next epoch, whose key subscribers among `to` have; end the one on air if any is."""
        self.fall_silent(channel, packets, delay_ms)
        self.epochs[channel] += 1
        self.world.begin(self.epochs[channel], self.now_ms, channel, cause)
        for device in to:
            self.grant(device, channel, is_ahead=False)

    @rule(channel=st.sampled_from(CHANNELS), packets=st.integers(0, 400), delay_ms=st.just(0))
    def fall_silent(self, channel: int, packets: int, delay_ms: int) -> None:
        """End the epoch on air, if any is."""
        if any(each.aired.end_ms == NEVER_MS for each in self.world.air[channel]):
            self.world.end(self.now_ms, packets * 1_316, packets, channel, delay_ms)

    @rule(device=st.sampled_from(DEVICES), channel=st.sampled_from(CHANNELS), is_ahead=st.booleans())
    def grant(self, device: str, channel: int, is_ahead: bool) -> None:  # noqa: FBT001 - hypothesis's
        """Fetch the key on air, or the next one."""
        if self.is_live(device, channel) and self.epochs[channel] + is_ahead:
            epoch = self.epochs[channel] + is_ahead
            self.world.plan(epoch, channel=channel)
            self.world.grant(self.now_ms, epoch, device=device, channel=channel)

    @rule(device=st.sampled_from(DEVICES), channel=st.sampled_from(CHANNELS))
    def erase(self, device: str, channel: int) -> None:
        """Destroy all keys of a device, and have it say so."""
        epochs = {grant.epoch for grant in self.world.grants[device, channel]}
        self.world.erase(self.now_ms, *epochs, device=device, channel=channel)

    @rule(channel=st.sampled_from(CHANNELS), packets=st.integers(1, 99))
    def report_late(self, channel: int, packets: int) -> None:
        """Report more of an epoch that is on record."""
        known = [each for each in self.world.air[channel] if each.recorded_at_ms <= self.now_ms][:5]
        if known:
            self.world.late(known[packets % len(known)].aired.epoch, self.now_ms, 9, packets, channel)

    @rule(
        tariff=st.sampled_from(["plain", "full", "yen"]),
        channel=st.sampled_from(CHANNELS),
        device=st.sampled_from([None, *DEVICES]),
        ahead_ms=st.sampled_from([0, HOUR_MS, 10 * DAY_MS]),
    )
    def assign(self, tariff: str, channel: int, device: str | None, ahead_ms: int) -> None:
        """Give a channel or a device another tariff, from now or from then on."""
        known = self.world.assignments[channel]
        if all((each.from_ms, each.device) != (self.now_ms + ahead_ms, device) for each in known):
            self.world.assign(tariff, self.now_ms + ahead_ms, channel, device)

    @rule(tariff=st.sampled_from(["plain", "full"]))
    def change_price(self, tariff: str) -> None:
        """Begin a tariff's next version now."""
        if self.world.tariffs[tariff].versions[-1].valid_from_ms < self.now_ms:
            self.world.tariff(tariff, *COUNTED, since_ms=self.now_ms, tax_ppm=70_000)

    @precondition(lambda self: self.world.spans)
    @rule()
    def close(self) -> None:
        """Make bills; again, there are none, and usage told twice and backwards makes the same."""
        facts = self.world.facts(self.now_ms)
        drafted = self.world.draft(self.now_ms)
        assert self.draft(twisted(facts)) == drafted
        for bill in self.world.close(self.now_ms):
            assert bill.net_minor + bill.tax_minor == sum(line.due_minor for line in bill.lines)
        assert self.world.close(self.now_ms) == ()

    def draft(self, facts: AccountFacts) -> object:
        """Return the draft of some facts."""
        return draft(facts, self.now_ms, self.world.settle_ms, self.world.wait_ms)

    def teardown(self) -> None:
        """Let everybody leave, all become known, and add everything up."""
        if not hasattr(self, "epochs") or not self.world.spans:
            return
        self.now_ms += 1
        for (device, channel), held in self.world.spans.items():
            if held[-1].end_ms is None:
                self.world.leave(self.now_ms, device, channel)
            self.erase(device, channel)
        for channel in CHANNELS:
            self.fall_silent(channel, 1, 0)
        for _ in range(3):
            self.now_ms += 100 * DAY_MS
            self.close()
        check(self.world, self.now_ms)


def twisted(facts: AccountFacts) -> AccountFacts:
    """Return the same facts, with all usage told twice and backwards."""
    twice = tuple(replace(each, events=each.events[::-1] + each.events[1:]) for each in facts.subscriptions)
    return replace(facts, subscriptions=twice)


def check(world: World, now_ms: int) -> None:
    """Compare all bills with one rating of everything, and its units with what was used."""
    facts = world.facts(now_ms, 0)
    fresh = tuple(replace(each, billed={}) for each in facts.subscriptions)
    whole = draft(
        replace(facts, subscriptions=fresh, closed_ms=frozenset()), now_ms, world.settle_ms, world.wait_ms
    )
    wanted = sums(line for bill in whole.invoices for line in bill.lines)
    assert sums(world.lines()) == wanted
    units: Counter[str | None] = Counter()
    for (*_, quantity), (_, count) in sums(world.lines(), by_quantity=True).items():
        units[str(quantity)] += count
    used = [event for place in world.spans for event in world.usage(now_ms, *place)]
    turns = {(place, event.turn) for place in world.spans for event in world.usage(now_ms, *place)}
    assert units["packets"] == sum(event.packets for event in used)
    assert units["received-ms"] == sum(event.end_ms - event.start_ms for event in used)
    assert units["epochs"] == len(turns)
    held = [merge_spans(spans, 0, now_ms) for spans in world.spans.values()]
    assert units["subscribed-ms"] == sum(last - first for spans in held for first, last in spans)


def sums(lines: object, *, by_quantity: bool = False) -> dict[tuple[object, ...], tuple[int, int]]:
    """Return what lines ask for in all, and their units, by all that names a line."""
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for line in lines:  # type: ignore[attr-defined]
        assert isinstance(line, DraftLine)
        place = (line.device, line.channel, line.period.start_ms, line.key)
        name = (*place, line.quantity if by_quantity else "")
        minor, units = found.get(name, (0, 0))
        found[name] = minor + line.due_minor, units + line.added_units
    return {name: each for name, each in found.items() if each != (0, 0)}


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestManyHistories(Histories.TestCase):
    """The same, longer and oftener."""

    settings = settings(
        max_examples=300, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
    )
    pytestmark = pytest.mark.soak
