"""Closing: which periods of a customer are billed, when, and that bills add up to one bill of everything."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.world import DAY_MS, HOUR_MS, MINUTE_MS, World, at, by, cycle, flat
from sealcast.billing.closing import Draft, draft
from sealcast.billing.due import RERATED_MS, rated_since
from sealcast.billing.facts import AccountFacts
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.tariffs import Quantity

DAILY = PeriodKind.DAILY
JUNE, JULY = at("2026-06-01T00:00Z"), at("2026-07-01T00:00Z")
AFTER = JULY + HOUR_MS
MB = 1_000_000


def simple(of: BillingCycle | None = None, code: str = "EUR", **limits: int) -> World:
    """Return a world with 9.00 a period, 0.10 a million bytes and 0.50 a key epoch."""
    world = World(of or cycle(), lifetime_ms=HOUR_MS)
    prices = flat("9"), by(Quantity.BYTES, "0.10", MB), by(Quantity.EPOCHS, "0.50")
    world.tariff("basic", *prices, code=code, **limits)
    world.assign("basic")
    return world


def test_a_period_waits_until_it_is_settled() -> None:
    """Not before its end and `settle_ms`, and with an epoch on air over its end not before that is known."""
    world = simple()
    world.subscribe(JUNE)
    world.on_air(1, JULY - MINUTE_MS, JULY + MINUTE_MS, MB)
    world.grant(JUNE, 1)
    assert world.draft(JULY - 1) == Draft()
    waiting = "an epoch of channel-7 that began before its end is not settled"
    for now in (JULY, JULY + MINUTE_MS + world.settle_ms - 1):
        assert world.draft(now) == Draft(waiting=waiting)
    drafted = world.draft(JULY + MINUTE_MS + world.settle_ms)
    assert [period.start_ms for period in drafted.closes] == [JUNE]
    assert [bill.total_minor for bill in drafted.invoices] == [900 + 5 + 50]


def test_who_may_yet_fetch_the_key_on_air_is_waited_for() -> None:
    """Subscribed, but without the key on air over the end of June: fetched in July, it is on the bill."""
    world = simple()
    world.subscribe(JUNE)
    world.on_air(1, JULY - 10 * MINUTE_MS, JULY + 10 * MINUTE_MS, MB)
    assert world.due(JULY + MINUTE_MS) == []
    world.grant(JULY + 2 * MINUTE_MS, 1)
    assert world.due(JULY + 11 * MINUTE_MS) == [900 + 5 + 50]


def test_late_usage_that_costs_nothing_is_on_a_bill() -> None:
    """Known after its period closed, it is told once, on a bill of 0.00: each unit is on some bill."""
    world = World(cycle())
    world.tariff("trial", by(Quantity.BYTES, "0.10", MB, free=5 * MB))
    world.assign("trial")
    world.subscribe(JUNE)
    world.on_air(1, JUNE, JUNE + MINUTE_MS)
    world.grant(JUNE, 1)
    assert world.due(AFTER) == []
    assert len(world.closed) == 1
    world.late(1, AFTER + 1, MB)
    world.leave(AFTER + DAY_MS)
    assert world.due(AFTER + 2 * DAY_MS) == [0]
    assert [(line.units, line.workings) for line in world.lines()] == [(MB, "1,000,000 bytes free = 0.00")]
    assert world.due(AFTER + 90 * DAY_MS) == []


def test_the_first_month_of_1970_east_of_greenwich() -> None:
    """It began before any instant that is counted, and has its bill all the same."""
    world = simple(cycle(zone="Asia/Tokyo"))
    world.subscribe(0)
    assert len(world.due(40 * DAY_MS)) == 1


def test_what_a_device_erased_before_holds_up_nothing() -> None:
    """Who left before the epoch on air began does not wait for it, however long it lasts."""
    world = simple()
    world.subscribe(JUNE)
    world.leave(JUNE + DAY_MS)
    world.on_air(1, JUNE + 2 * DAY_MS, JULY + DAY_MS, MB)
    assert world.due(JUNE + 3 * DAY_MS) == [30]


def test_a_last_bill_comes_at_once_and_a_return_pays_the_rest() -> None:
    """Left on 11 June: 3.00. Back on 16 June: 15 more days of 30, 4.50, with June's bill; no day twice."""
    world = simple()
    world.subscribe(JUNE)
    world.leave(JUNE + 10 * DAY_MS)
    assert world.due(JUNE + 10 * DAY_MS) == [300]
    world.subscribe(JUNE + 15 * DAY_MS)
    assert world.due(JUNE + 16 * DAY_MS) == []
    assert world.due(AFTER) == [450]


@pytest.mark.parametrize(("kind", "flat_minor"), [(PeriodKind.MONTHLY, 0), (PeriodKind.CLOSING, 900)])
def test_a_key_of_an_epoch_ahead_holds_up_the_last_bill(kind: PeriodKind, flat_minor: int) -> None:
    """Gone in silence with the key of 02:00: at 01:00 nothing is on air, and there is more to come."""
    world = simple(cycle(kind))
    for epoch, hour in ((1, 0), (2, 2)):
        world.on_air(epoch, JUNE + hour * HOUR_MS, JUNE + hour * HOUR_MS + 10 * MINUTE_MS)
    world.subscribe(JUNE)
    world.grant(JUNE, 1, 2)
    world.leave(JUNE + MINUTE_MS)
    assert world.due(JUNE + HOUR_MS) == []
    assert world.due(JUNE + 3 * HOUR_MS) == [2 * 50 + flat_minor]


def test_one_device_stays() -> None:
    """While one device of a customer is subscribed there is no last bill for another."""
    world = simple()
    world.subscribe(JUNE)
    world.subscribe(JUNE, "PC")
    world.leave(JUNE + 10 * DAY_MS)
    assert world.due(JUNE + 11 * DAY_MS) == []
    assert world.due(AFTER) == [300 + 900]


def test_a_minimum_is_not_asked_for_twice() -> None:
    """2 June alone at a least of 6.00 a month is 0.20; with 3 June it is 0.40."""
    world = World(cycle())
    world.tariff("least", by(Quantity.BYTES, "0.10", MB), minimum_micro=6_000_000)
    world.assign("least")
    for day in (1, 2):
        world.subscribe(JUNE + day * DAY_MS)
        world.leave(JUNE + (day + 1) * DAY_MS)
        assert world.due(JUNE + (day + 1) * DAY_MS) == [20]
    assert world.due(AFTER) == []


def test_closing_after_half_a_year() -> None:
    """Who closes seldom has all periods on one bill: 200 days of 9.00, beyond those that are rated anew."""
    world = simple(cycle(DAILY))
    world.subscribe(JUNE)
    assert world.due(JUNE + DAY_MS + HOUR_MS) == [900]
    assert 200 * DAY_MS > RERATED_MS
    assert world.due(JUNE + 201 * DAY_MS + HOUR_MS) == [200 * 900]
    assert len(world.closed) == 201


def test_a_report_without_length_at_the_end_of_a_period() -> None:
    """What is heard later of an epoch that ended at midnight lies behind it, and is billed."""
    world = simple(cycle(DAILY))
    world.subscribe(JUNE)
    world.on_air(1, JUNE + 23 * HOUR_MS, JUNE + DAY_MS, MB)
    world.grant(JUNE, 1)
    world.leave(JUNE + DAY_MS)
    assert world.due(JUNE + DAY_MS + HOUR_MS) == [900 + 10 + 50]
    world.late(1, JUNE + 2 * DAY_MS, 2 * MB)
    assert world.due(JUNE + 3 * DAY_MS) == [20]
    assert world.bills[-1].lines[0].period.start_ms == JUNE + DAY_MS


def test_a_run_counts_what_was_on_air_as_it_began() -> None:
    """Billed at the end alone: an epoch that was on air before the subscription is in its bill, once."""
    world = simple(cycle(PeriodKind.CLOSING))
    world.on_air(1, JUNE, JUNE + HOUR_MS, MB)
    world.subscribe(JUNE + MINUTE_MS)
    world.grant(JUNE + MINUTE_MS, 1)
    world.leave(JUNE + DAY_MS)
    assert world.due(JUNE + DAY_MS) == []
    assert world.due(JUNE + DAY_MS + HOUR_MS) == [900 + 10 + 50]
    assert world.due(JUNE + 2 * DAY_MS) == []


def test_a_run_waits_for_keys_that_are_left_but_not_for_ever() -> None:
    """Gone in silence with a chain's key: the bill waits `wait_ms`, and what comes after it is another."""
    world = simple(cycle(PeriodKind.CLOSING))
    for epoch in range(1, 4):
        world.on_air(epoch, JUNE + epoch * DAY_MS, JUNE + (epoch + 1) * DAY_MS, MB, fresh_at=4)
    world.subscribe(JUNE + DAY_MS)
    world.grant(JUNE + DAY_MS, 1, until=4)
    gone = JUNE + DAY_MS + HOUR_MS
    world.leave(gone)
    assert world.draft(gone + HOUR_MS).waiting is not None
    assert world.due(gone + DAY_MS) == [900 + 10 + 50]
    assert world.due(gone + 2 * DAY_MS) == []
    assert world.due(JUNE + 4 * DAY_MS + HOUR_MS) == [2 * (10 + 50)]


def test_a_tariff_that_is_taken_back_before_the_period_closed() -> None:
    """After a last bill of 3.00 the operator makes it yen from the beginning: 3.00 back, JPY 100 instead."""
    world = simple()
    world.subscribe(JUNE)
    world.leave(JUNE + 10 * DAY_MS)
    assert world.due(JUNE + 10 * DAY_MS) == [300]
    world.tariff("yen", flat("300"), code="JPY")
    world.assign("yen", 1)
    bills = world.close(JUNE + 11 * DAY_MS)
    assert [(bill.currency, bill.total_minor) for bill in bills] == [("EUR", -300), ("JPY", 100)]
    assert world.due(AFTER) == []


def test_a_tariff_that_is_gone_altogether() -> None:
    """Where nothing applies in a currency any more, its lines are paid back by name."""
    world = simple()
    world.subscribe(JUNE)
    world.leave(JUNE + 10 * DAY_MS)
    world.close(JUNE + 10 * DAY_MS)
    world.assignments.clear()
    (bill,) = world.close(JUNE + 11 * DAY_MS)
    assert [(line.workings, line.due_minor, line.added_units) for line in bill.lines] == [
        ("charged no more", -300, -10 * DAY_MS)
    ]
    assert world.close(JUNE + 11 * DAY_MS) == ()


def test_from_when_facts_are_needed() -> None:
    """From the last period closed, 35 days back at least, further for late usage; else from the beginning."""
    of = cycle()
    assert rated_since(of, None, AFTER) == 0
    assert rated_since(cycle(PeriodKind.CLOSING), JULY, AFTER) == 0
    assert rated_since(of, JULY, AFTER) == at("2026-05-01T00:00Z")
    assert rated_since(of, JUNE, JULY + 90 * DAY_MS) == JUNE
    assert rated_since(of, JULY, AFTER, at("2025-03-31T23:59Z")) == at("2025-03-01T00:00Z")
    assert rated_since(of, 5, 10, 0) == 0


FACTS = st.lists(
    st.tuples(st.integers(0, 70 * 24), st.integers(0, 48), st.integers(0, 10**9), st.integers(0, 40)),
    min_size=1,
    max_size=12,
)
"""Epochs: when they begin and how long they last in hours, bytes, days until the server knows."""


def history(facts: list[tuple[int, int, int, int]], code: str, kind: PeriodKind) -> World:
    """Return a world in which TV and PC have all keys of some epochs, and leave after 70 days."""
    world = simple(cycle(kind), code, tax_ppm=81_000, cap_micro=40_000_000)
    for device in ("TV", "PC"):
        world.subscribe(JUNE, device)
    known_ms, start_ms = 0, JUNE
    for epoch, (begin, hours, size, days) in enumerate(sorted(facts), 1):
        start_ms = max(JUNE + begin * HOUR_MS, start_ms + 1)
        world.on_air(epoch, start_ms, start_ms + hours * HOUR_MS, size)
        recorded = world.air[7][-1]
        known_ms = max(known_ms, recorded.recorded_at_ms + days * DAY_MS)
        world.air[7][-1] = replace(recorded, recorded_at_ms=known_ms)
        for device in ("TV", "PC"):
            world.grant(start_ms, epoch, device=device)
    for device in ("TV", "PC"):
        world.leave(JUNE + 70 * DAY_MS, device)
    return world


LATER = JUNE + 300 * DAY_MS


@settings(max_examples=30)
@given(
    FACTS,
    st.sampled_from(["JPY", "EUR", "KWD"]),
    st.sampled_from(PeriodKind),
    st.integers(0, 3),
    st.randoms(),
)
def test_order_and_repetition_change_no_invoice(
    facts: list[tuple[int, int, int, int]], code: str, kind: PeriodKind, times: int, order: random.Random
) -> None:
    """Any permutation and duplication of events makes the same bills; their lines add up to their totals."""
    world = history(facts, code, kind)
    known = world.facts(LATER)
    bills = draft(known, LATER, 0, 0)
    assert draft(twisted(known, times, order), LATER, 0, 0) == bills
    for bill in bills.invoices:
        assert bill.currency == code
        assert (
            bill.total_minor == bill.net_minor + bill.tax_minor == sum(line.due_minor for line in bill.lines)
        )


def twisted(facts: AccountFacts, times: int, order: random.Random) -> AccountFacts:
    """Return facts whose events are told several times, in some order."""
    told = []
    for each in facts.subscriptions:
        events = list(each.events) * (times + 1)
        order.shuffle(events)
        told.append(replace(each, events=tuple(events)))
    return replace(facts, subscriptions=tuple(told))


@pytest.mark.parametrize("kind", PeriodKind)
@settings(max_examples=12)
@given(FACTS, st.sampled_from(["JPY", "EUR", "KWD"]), st.lists(st.integers(0, 250 * 24), max_size=6))
def test_delay_and_splitting_change_no_sum(
    kind: PeriodKind, facts: list[tuple[int, int, int, int]], code: str, hours: list[int]
) -> None:
    """However late usage is known, and into however many bills it goes, the sum is that of one."""
    split, whole = history(facts, code, kind), history(facts, code, kind)
    for hour in sorted(hours):
        split.close(JUNE + hour * HOUR_MS)
    split.close(LATER)
    whole.close(LATER)
    assert len(whole.bills) <= 1
    assert split.total(code) == whole.total(code)
