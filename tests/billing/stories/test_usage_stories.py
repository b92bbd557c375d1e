"""Stories of usage, each with its arithmetic: what viewers, senders and key servers do to a bill."""

from collections import Counter
from itertools import pairwise

from billing.world import DAY_MS, HOUR_MS, MINUTE_MS, NEWS, SECOND_MS, World, at, by, cycle, flat
from sealcast.billing.closing import DraftInvoice
from sealcast.billing.periods import PeriodKind
from sealcast.billing.tariffs import Quantity

NOON = at("2026-06-10T12:00Z")
NEXT_MONTH = at("2026-07-01T01:00Z")
MB = 1_000_000


def by_epoch(**more: object) -> World:
    """Return a world where a key epoch costs 0.50, and a million bytes 0.10."""
    world = World(cycle(), **more)  # type: ignore[arg-type]
    world.tariff("basic", by(Quantity.EPOCHS, "0.50"), by(Quantity.BYTES, "0.10", MB))
    world.assign("basic")
    return world


def by_device(bill: DraftInvoice) -> dict[str, int]:
    """Return what each device's lines come to."""
    sums = Counter[str]()
    for line in bill.lines:
        sums[line.device] += line.due_minor
    return dict(sums)


def schedule(world: World, minutes: range, *, fresh_at: int | None = None) -> None:
    """Send epochs of 10 minutes and 1,000,000 bytes from noon on, one from each minute of a range."""
    for epoch, minute in enumerate(minutes, 1):
        start = NOON + minute * MINUTE_MS
        world.on_air(epoch, start, start + 10 * MINUTE_MS, MB, 760, fresh_at=fresh_at)


def test_a_price_change_inside_a_period_and_inside_an_epoch() -> None:
    """From 11 June 12:04 on bytes cost 0.30 a million instead of 0.10, an epoch 0.70 instead of 0.50.

    On air from 12:00 to 12:10 with 1,000,000 bytes: 4 of 10 minutes at the old price are 400,000 bytes, 0.04;
    6 minutes are 600,000 bytes at 0.30, 0.18. The epoch began at the old price: 0.50. The one after it pays
    0.30 and 0.70. Subscribed at 30.00 until the change and 60.00 after it: from the 1st to the 11th at 12:04
    there are 15,124 of June's 43,200 minutes, 10.5028; the other 28,076 minutes are 38.9944.
    """
    world = World(cycle())
    change = at("2026-06-11T12:04Z")
    world.tariff("basic", flat("30"), by(Quantity.EPOCHS, "0.50"), by(Quantity.BYTES, "0.10", MB))
    world.tariff(
        "basic", flat("60"), by(Quantity.EPOCHS, "0.70"), by(Quantity.BYTES, "0.30", MB), since_ms=change
    )
    world.assign("basic")
    world.subscribe(at("2026-06-01T00:00Z"))
    world.on_air(1, change - 4 * MINUTE_MS, change + 6 * MINUTE_MS, MB)
    world.on_air(2, change + 6 * MINUTE_MS, change + 16 * MINUTE_MS, MB)
    world.grant(change, 1, 2)
    assert world.due(NEXT_MONTH) == [1_050 + 4 + 50 + 3_899 + (18 + 30) + 70]
    lines = {(line.key.valid_from_ms, line.key.name): line.due_minor for line in world.lines()}
    assert lines == {
        (0, "Subscription"): 1_050, (0, "epochs"): 50, (0, "bytes"): 4,
        (change, "Subscription"): 3_899, (change, "epochs"): 70, (change, "bytes"): 48,
    }  # fmt: skip


def test_late_usage_after_closing() -> None:
    """What a server hears of June in July stands on July's bill, as a line of June.

    June: 1,400,000 bytes at 0.10 a million, 0.14. On 3 July another 170,000 become known: 1,570,000 are
    0.157, so 0.16, less 0.14 that was billed: 0.02. July itself: 3,000,000 bytes, 0.30, and an epoch, 0.50.
    """
    world = by_epoch()
    world.subscribe(NOON - DAY_MS)
    world.on_air(1, NOON, NOON + MINUTE_MS, 1_400_000)
    world.grant(NOON, 1)
    assert world.due(NEXT_MONTH) == [14 + 50]
    world.late(1, at("2026-07-03T00:00Z"), 170_000)
    assert world.due(at("2026-07-04T00:00Z")) == []
    world.on_air(2, at("2026-07-10T00:00Z"), at("2026-07-10T00:10Z"), 3 * MB)
    world.grant(at("2026-07-10T00:00Z"), 2)
    assert world.due(at("2026-08-01T01:00Z")) == [2 + 30 + 50]
    june, july = at("2026-06-01T00:00Z"), at("2026-07-01T00:00Z")
    late = [line for line in world.bills[1].lines if line.period.start_ms == june]
    assert [(line.key.name, line.units, line.added_units, line.due_minor) for line in late] == [
        ("bytes", 1_570_000, 170_000, 2)
    ]
    assert {line.period.start_ms for line in world.bills[1].lines} == {june, july}
    assert world.due(at("2026-08-02T01:00Z")) == []


def test_late_usage_of_somebody_who_left() -> None:
    """To whom no bill would come any more, late usage is billed at once, half a year later too."""
    world = by_epoch()
    world.subscribe(NOON)
    world.on_air(1, NOON, NOON + MINUTE_MS, MB)
    world.grant(NOON, 1)
    world.leave(NOON + MINUTE_MS)
    assert world.due(NOON + HOUR_MS) == [60]
    assert world.due(NEXT_MONTH) == []
    world.late(1, at("2026-12-01T00:00Z"), 2 * MB)
    assert world.due(at("2026-12-02T00:00Z")) == [20]
    assert world.due(at("2026-12-03T00:00Z")) == []


def test_withdrawal_while_the_key_server_is_unreachable() -> None:
    """Withdrawn at 12:02, heard of at 12:34: fetched keys are charged as far as they were fetched.

    It holds the keys of 12:00 and 12:10, which are on air meanwhile: 2 x (0.50 + 0.10) = 1.20. It never had
    those of 12:20 and 12:30. Subscribed it is until the server hears of it: 34 minutes at 0.60 an hour, 0.34.
    """
    world = World(cycle())
    prices = by(Quantity.EPOCHS, "0.50"), by(Quantity.BYTES, "0.10", MB)
    world.tariff("basic", *prices, by(Quantity.SUBSCRIBED_MS, "0.60", HOUR_MS))
    world.assign("basic")
    schedule(world, range(0, 60, 10))
    world.subscribe(NOON)
    world.grant(NOON, 1, 2)
    heard = NOON + 34 * MINUTE_MS
    world.leave(heard)
    world.erase(heard, 1, 2)
    assert world.due(heard + HOUR_MS) == [120 + 34]


def test_withdrawal_from_a_chain_while_the_key_server_is_unreachable() -> None:
    """Of a chain it could open what was on air until its statement came: 12:00 to 12:30, 4 x 0.60 = 2.40."""
    world = by_epoch()
    schedule(world, range(0, 60, 10), fresh_at=7)
    world.subscribe(NOON)
    world.grant(NOON, 1, until=7)
    heard = NOON + 34 * MINUTE_MS
    world.leave(heard)
    world.erase(heard, 4)
    assert world.due(heard + 7 * MINUTE_MS) == [240]


def test_a_sender_that_crashes_ten_times_in_an_hour() -> None:
    """Six turns of ten minutes pass, in twelve epochs or in six: 6 x 0.50 = 3.00 either way.

    Each minute has 100,000 bytes: 6,000,000 in the hour, 0.60.
    """
    totals = []
    for starts in ([0, 5, 11, 16, 22, 27, 33, 38, 44, 50, 55, 60], [0, 10, 20, 30, 40, 50, 60]):
        world = by_epoch()
        world.subscribe(NOON)
        for epoch, (first, last) in enumerate(pairwise(starts), 1):
            cause = "start" if len(starts) > 7 or epoch == 1 else "schedule"
            bounds = NOON + first * MINUTE_MS, NOON + last * MINUTE_MS
            world.on_air(epoch, *bounds, (last - first) * 100_000, cause=cause)
            world.grant(bounds[0], epoch)
        assert len(world.usage()) == len(starts) - 1
        totals += world.due(NEXT_MONTH)
    assert totals == [360, 360]


def test_a_viewer_who_stops_before_each_end_and_comes_back() -> None:
    """Nine of each ten minutes, each time with a statement: each epoch is paid, 6 x (0.50 + 0.10) = 3.60.

    Who watches the hour through pays the same.
    """
    world = by_epoch()
    schedule(world, range(0, 60, 10))
    world.subscribe(NOON, "PC")
    for epoch in range(1, 7):
        start = NOON + (epoch - 1) * 10 * MINUTE_MS
        world.subscribe(start)
        world.grant(start, epoch)
        world.grant(start, epoch, device="PC")
        world.leave(start + 9 * MINUTE_MS)
        world.erase(start + 9 * MINUTE_MS, epoch)
    bills = world.close(NEXT_MONTH)
    assert by_device(bills[0]) == {"TV": 360, "PC": 360}


def test_one_who_prefetches_and_stops() -> None:
    """With the keys of 12:00 and 12:10 it stops at 12:09: the one that was not on air yet costs nothing.

    0.50 + 0.10 = 0.60. Without a statement that it destroyed the other, 1.20: it could have opened it.
    """
    for has_erased, cents in ((True, 60), (False, 120)):
        world = by_epoch()
        schedule(world, range(0, 30, 10))
        world.subscribe(NOON)
        world.grant(NOON, 1)
        world.grant(NOON + 8 * MINUTE_MS, 2)
        world.leave(NOON + 9 * MINUTE_MS)
        if has_erased:
            world.erase(NOON + 9 * MINUTE_MS, 1, 2)
        assert world.due(NOON + HOUR_MS) == [cents]


def test_a_key_that_was_fetched_and_never_used() -> None:
    """The sender falls silent after 12:10: the key made for after that is charged to nobody."""
    world = by_epoch()
    schedule(world, range(0, 10, 10))
    world.plan(2)
    world.subscribe(NOON)
    world.grant(NOON, 1, 2)
    assert world.due(NEXT_MONTH) == [60]
    assert [event.id for event in world.usage()] == [f"{NEWS}/1/TV"]


def test_a_chain_channel() -> None:
    """Six epochs to a chain, of 0.60 each; keys of a chain follow from its first.

    TV is granted it at 12:00 and leaves at 12:15 without a word: the whole chain, 3.60. PC says at 12:25 that
    its key of 12:20 is destroyed: three epochs, 1.80. CAR comes at 12:35: those from 12:30 on, 1.80.
    """
    world = by_epoch()
    schedule(world, range(0, 60, 10), fresh_at=7)
    world.on_air(7, NOON + HOUR_MS, NOON + HOUR_MS + 10 * MINUTE_MS, MB, fresh_at=13)
    for device, minute, epoch in (("TV", 0, 1), ("PC", 0, 1), ("CAR", 35, 4)):
        world.subscribe(NOON + minute * MINUTE_MS, device)
        world.grant(NOON + minute * MINUTE_MS, epoch, device=device, until=7)
    world.leave(NOON + 15 * MINUTE_MS)
    world.leave(NOON + 25 * MINUTE_MS, "PC")
    world.erase(NOON + 25 * MINUTE_MS, 3, device="PC")
    world.leave(NOON + 59 * MINUTE_MS, "CAR")
    # Nobody is subscribed any more, but the chain goes on, and TV may follow it: the last bill waits.
    assert world.due(NOON + 59 * MINUTE_MS + 30 * SECOND_MS) == []
    bills = world.close(NOON + 2 * HOUR_MS)
    assert by_device(bills[0]) == {"TV": 360, "PC": 180, "CAR": 180}


def test_an_epoch_that_began_before_the_subscription() -> None:
    """Subscribed at 00:00:05 on 1 July, to an epoch on air since 23:55: its first half stands in June.

    10 minutes of 1,000,000 bytes: 500,000 in June, 0.05, with the epoch that began there, 0.50; the other
    half in July. June was nobody's until then; it has its line on the first bill that comes.
    """
    world = by_epoch()
    july = at("2026-07-01T00:00Z")
    world.subscribe(july + 5 * SECOND_MS)
    world.on_air(1, july - 5 * MINUTE_MS, july + 5 * MINUTE_MS, MB)
    world.grant(july + 5 * SECOND_MS, 1)
    assert world.due(july + HOUR_MS) == [55]
    assert world.due(at("2026-08-01T01:00Z")) == [5]


def test_an_epoch_that_lasts_beyond_the_wait() -> None:
    """An epoch on air over the end of June holds its bill up for a day; then it is billed without it.

    On air from 30 June to 10 July, 10 days with 10,000,000 bytes: when it is known, a tenth of them is that
    of June, 0.10, with the epoch itself, 0.50; July has 0.90. Both stand on July's bill.
    """
    world = World(cycle(), lifetime_ms=10 * DAY_MS)
    world.tariff("basic", flat("9"), by(Quantity.EPOCHS, "0.50"), by(Quantity.BYTES, "0.10", MB))
    world.assign("basic")
    june, july = at("2026-06-01T00:00Z"), at("2026-07-01T00:00Z")
    world.subscribe(june)
    world.on_air(1, july - DAY_MS, july + 9 * DAY_MS, 10 * MB)
    world.grant(july - DAY_MS, 1)
    drafted = world.draft(july + HOUR_MS)
    assert drafted.waiting == "an epoch of channel-7 that began before its end is not settled"
    assert world.due(july + DAY_MS - 1) == []
    assert world.due(july + DAY_MS) == [900]
    assert world.due(july + 15 * DAY_MS) == []
    assert world.due(at("2026-08-01T01:00Z")) == [900 + 90 + 10 + 50]


def test_closing_alone_makes_the_bill() -> None:
    """Billed at the end of each subscription: 5.00 each time, and what was on air in it, once.

    The second begins in the epoch in which the first ended, which is charged once: half of it lies in each.
    """
    world = World(cycle(PeriodKind.CLOSING))
    world.tariff("visit", flat("5"), by(Quantity.EPOCHS, "0.50"), by(Quantity.BYTES, "0.10", MB))
    world.assign("visit")
    schedule(world, range(0, 30, 10))
    world.subscribe(NOON)
    world.grant(NOON, 1)
    world.leave(NOON + 3 * MINUTE_MS)
    world.erase(NOON + 3 * MINUTE_MS, 1)
    assert world.due(NOON + 4 * MINUTE_MS) == []
    world.subscribe(NOON + 5 * MINUTE_MS)
    world.grant(NOON + 5 * MINUTE_MS, 1, 2)
    # At 12:11 the first epoch is settled: 5.00 + 0.50, and 0.05 for the bytes up to 12:05.
    assert world.due(NOON + 11 * MINUTE_MS) == [555]
    world.leave(NOON + 15 * MINUTE_MS)
    world.erase(NOON + 15 * MINUTE_MS, 1, 2)
    # The second: 5.00, the other half of the bytes, 0.05, and the epoch of 12:10 whole, 0.60.
    assert world.due(NOON + 21 * MINUTE_MS) == [565]
    assert world.due(NOON + 90 * DAY_MS) == []
