"""Stories of prices, each with its arithmetic: who has which tariff when, limits, taxes, small coins."""

from billing.world import HOUR_MS, NEWS, World, at, by, cycle, flat
from sealcast.billing.tariffs import Price, Quantity, Step

JUNE, JULY = at("2026-06-01T00:00Z"), at("2026-07-01T00:00Z")
AFTER = at("2026-07-01T01:00Z")
MB, GB = 1_000_000, 1_000_000_000
FILM = 8


def test_a_yen_tariff_in_three_bills() -> None:
    """JPY 100 for June, with a last bill on the 11th and the 21st, as the subscriber leaves and comes back.

    After 10 of 30 days 33.3, so 33. After 20 days 66.7, so 67, less 33: 34. At the end 100, less 67: 33.
    33 + 34 + 33 = 100, where each third by itself would be 33, and 99 in all.
    """
    world = World(cycle())
    world.tariff("yen", flat("100"), code="JPY")
    world.assign("yen")
    totals = []
    for start, end in ((1, 11), (11, 21)):
        world.subscribe(at(f"2026-06-{start:02}T00:00Z"))
        world.leave(at(f"2026-06-{end:02}T00:00Z"))
        totals += world.due(at(f"2026-06-{end:02}T00:00Z"))
    world.subscribe(at("2026-06-21T00:00Z"))
    totals += world.due(AFTER)
    assert totals == [33, 34, 33]
    assert [line.workings for line in world.lines()] == [
        "100 a period, for 10 d of 30 d = 33.333333, rounded 33",
        "100 a period, for 20 d of 30 d = 66.666667, rounded 67",
        "100 for the whole period",
    ]


def test_a_devices_own_tariff_beside_the_channels() -> None:
    """TV and PC of one household watch the news at 30.00; from 11 June to 21 June the TV has staff's 3.00.

    PC: 30.00. TV: 10 days of 30 at 30.00 are 10.00, 10 days at 3.00 are 1.00, and 10.00 again: 21.00.
    """
    world = World(cycle())
    world.tariff("basic", flat("30"))
    world.tariff("staff", flat("3", "Staff"))
    world.assign("basic")
    world.assign("staff", at("2026-06-11T00:00Z"), device="TV")
    world.assign(None, at("2026-06-21T00:00Z"), device="TV")
    for device in ("TV", "PC"):
        world.subscribe(JUNE, device)
    assert world.due(AFTER) == [3_000 + 2_100]
    lines = [(line.device, line.source and line.source.tariff, line.due_minor) for line in world.lines()]
    assert lines == [
        ("PC", "basic", 3_000), ("TV", "basic", 1_000), ("TV", "staff", 100), ("TV", "basic", 1_000),
    ]  # fmt: skip


def test_the_channels_tariff_changes_in_mid_period() -> None:
    """Basic at 30.00 until 11 June, premium at 60.00 from then on: 10.00 + 40.00 = 50.00.

    The 4 GB that are free each month are free once: 3 GB in the first ten days leave one for the rest; of the
    5 GB used then 4 are paid at 0.20: 0.80.
    """
    world = World(cycle(), lifetime_ms=HOUR_MS)
    change = at("2026-06-11T00:00Z")
    world.tariff("basic", flat("30"), by(Quantity.BYTES, "0.10", GB, free=4 * GB))
    world.tariff("premium", flat("60"), by(Quantity.BYTES, "0.20", GB, free=4 * GB))
    world.assign("basic")
    world.assign("premium", change)
    world.subscribe(JUNE)
    world.on_air(1, change - 2 * HOUR_MS, change - HOUR_MS, 3 * GB)
    world.on_air(2, change + HOUR_MS, change + 2 * HOUR_MS, 5 * GB)
    world.grant(JUNE, 1, 2)
    assert world.due(AFTER) == [1_000 + 4_000 + 80]
    after = (
        "after 3,000,000,000 bytes at earlier prices: 1,000,000,000 bytes free, "
        "4,000,000,000 bytes at 0.20 per 1,000,000,000 = 0.80"
    )
    assert [(line.source and line.source.tariff, line.workings) for line in world.lines()] == [
        ("basic", "30.00 a period, for 10 d of 30 d = 10.00"),
        ("basic", "3,000,000,000 bytes free = 0.00"),
        ("premium", "60.00 a period, for 20 d of 30 d = 40.00"),
        ("premium", after),
    ]


def test_a_change_to_another_currency() -> None:
    """Until 16 June in euros, from then on in yen: half of 30.00 and half of JPY 4,000, on two bills."""
    world = World(cycle())
    world.tariff("euro", flat("30"))
    world.tariff("yen", flat("4000"), code="JPY")
    world.assign("euro")
    world.assign("yen", at("2026-06-16T00:00Z"))
    world.subscribe(JUNE)
    bills = world.close(AFTER)
    assert [(bill.currency, bill.total_minor) for bill in bills] == [("EUR", 1_500), ("JPY", 2_000)]
    assert world.due(JULY + 31 * 24 * HOUR_MS + HOUR_MS) == [4_000]


def test_cap_and_tax() -> None:
    """123.4 GB at 0.10 are 12.34; no more than 10.00 is asked for, and 19 % of that, 1.90: 11.90."""
    world = World(cycle(), lifetime_ms=HOUR_MS)
    world.tariff("capped", by(Quantity.BYTES, "0.10", GB), cap_micro=10_000_000, tax_ppm=190_000)
    world.assign("capped")
    world.subscribe(JUNE)
    world.on_air(1, JUNE, JUNE + HOUR_MS, 123_400_000_000)
    world.grant(JUNE, 1)
    (bill,) = world.close(AFTER)
    assert (bill.net_minor, bill.tax_minor, bill.total_minor) == (1_000, 190, 1_190)
    assert [(line.key.name, line.due_minor) for line in bill.lines] == [
        ("bytes", 1_234), ("minimum or cap", -234), ("tax", 190),
    ]  # fmt: skip


def test_minimum_and_tax() -> None:
    """From 16 June on, the least is half of 2.00; 3 GB at 0.10 are 0.30, so 0.70 more. 19 %: 0.19. 1.19."""
    world = World(cycle(), lifetime_ms=HOUR_MS)
    world.tariff("least", by(Quantity.BYTES, "0.10", GB), minimum_micro=2_000_000, tax_ppm=190_000)
    world.assign("least")
    half = at("2026-06-16T00:00Z")
    world.subscribe(half)
    world.on_air(1, half, half + HOUR_MS, 3 * GB)
    world.grant(half, 1)
    (bill,) = world.close(AFTER)
    assert [line.due_minor for line in bill.lines] == [30, 70, 19]
    assert bill.total_minor == 119


def test_steps_over_a_last_bill_and_a_return() -> None:
    """10 GB at 0.10, others at 0.02: the steps of June go on where its last bill stopped.

    8 GB until the 10th, a last bill of 0.80. Back on the 20th for 8 more: 16 GB are 1.00 + 0.12 = 1.12, less
    0.80: 0.32.
    """
    world = World(cycle(), lifetime_ms=HOUR_MS)
    world.tariff("steps", Price("Data", Quantity.BYTES, (Step(100_000, GB, 10 * GB), Step(20_000, GB))))
    world.assign("steps")
    totals = []
    for epoch, day in ((1, "10"), (2, "20")):
        start = at(f"2026-06-{day}T00:00Z")
        world.subscribe(start)
        world.on_air(epoch, start, start + HOUR_MS, 8 * GB)
        world.grant(start, epoch)
        world.leave(start + HOUR_MS)
        totals += world.due(start + 2 * HOUR_MS)
    assert totals == [80, 32]
    low, high = "at 0.10 per 1,000,000,000", "at 0.02 per 1,000,000,000"
    assert [line.workings for line in world.lines()] == [
        f"8,000,000,000 bytes {low} = 0.80",
        f"10,000,000,000 bytes {low}, 6,000,000,000 bytes {high} = 1.12",
    ]
    assert world.due(AFTER) == []


def test_two_channels_and_what_costs_nothing() -> None:
    """News at 30.00 and film without a tariff: one bill, of news; usage of film is known and not charged."""
    world = World(cycle(), lifetime_ms=HOUR_MS)
    world.tariff("basic", flat("30"))
    world.assign("basic")
    for channel in (NEWS, FILM):
        world.subscribe(JUNE, channel=channel)
    world.on_air(1, JUNE, JUNE + HOUR_MS, GB, channel=FILM)
    world.grant(JUNE, 1, channel=FILM)
    (bill,) = world.close(AFTER)
    assert [(line.channel_name, line.due_minor) for line in bill.lines] == [("channel-7", 3_000)]
    assert len(world.usage(channel=FILM)) == 1


def test_usage_within_what_is_free_has_a_bill_of_nothing() -> None:
    """1 of 5 free GB: the bill of 0.00 says so, once."""
    world = World(cycle(), lifetime_ms=HOUR_MS)
    world.tariff("trial", by(Quantity.BYTES, "0.10", GB, free=5 * GB))
    world.assign("trial")
    world.subscribe(JUNE)
    world.on_air(1, JUNE, JUNE + HOUR_MS, GB)
    world.grant(JUNE, 1)
    world.leave(JUNE + 2 * HOUR_MS)
    assert world.due(JUNE + 3 * HOUR_MS) == [0]
    assert [line.workings for line in world.lines()] == ["1,000,000,000 bytes free = 0.00"]
    assert world.due(JUNE + 4 * HOUR_MS) == []
    assert world.due(AFTER) == []
