"""Shows what a master of several key servers publishes, records and refuses."""

import asyncio
from unittest import mock

from sealcast.messages import operations
from sealcast.messages.cluster import GrantedRow
from sealcast.server.cluster import delivering
from sealcast.server.cluster.rounds import PARTIES_AT_ONCE
from server.chains import Chain
from server.masters import LEASE_MS, Side, masters, until
from server.running import material


async def on_air(side: Side) -> int:
    """Set up a channel with a sender on air under epoch 1, epoch 2 published; return its number."""
    row = await side.add_channel("news")
    number = int(row.channel.number)
    studio = await side.register("studio", "sender", channels=["news"])
    lease = await studio.must(operations.LEASE, channel="news")
    for epoch in (1, 2):
        assert (await side.publish(studio, "news", material(number, epoch))).status == 200
    reply = await side.report(studio, "news", lease.slots[0].ssrc, 1)
    assert reply.status == 200
    return number


def test_what_is_published() -> None:
    """Parties, channels with the keys that may be granted, what is on air, and a beat when nothing waits."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            beat = await site.settled()
            assert (beat.master, beat.parties, beat.channels) == ("one", 2, 1)
            party = site.newest("party", "tv")
            assert [each.channel for each in party.subscriptions] == [number]
            assert party.keys.kek.is_secret
            channel = site.newest("channel", str(number))
            keys = {each.epoch: each.state for each in channel.epochs if each.material is not None}
            assert keys == {1: "ACTIVE", 2: "PUBLISHED"}
            assert [each.epoch for each in site.newest("air", str(number)).runs] == [1]
            versions = [entry.version for entry, _ in site.opened()]
            assert versions == sorted(versions)

    asyncio.run(run())


def test_a_removal_before_the_keys_after_it() -> None:
    """Whatever is published, a party's removal stands before every key that came after it."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            await site.settled()
            site.bus.cut("one")
            await side.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            studio = await side.register("other", "sender", channels=["news"])
            lease = await studio.must(operations.LEASE, channel="news")
            epoch = lease.slots[0].epoch
            await side.publish(studio, "news", material(number, epoch))
            site.bus.heal("one")
            await site.settled()
            order = [(entry.kind, entry.name) for entry, _ in site.opened()]
            assert order.index(("party", "tv")) < order.index(("channel", str(number)))
            assert site.newest("party", "tv").subscriptions == []
            published = [each.epoch for each in site.newest("channel", str(number)).epochs if each.material]
            assert epoch in published

    asyncio.run(run())


def test_a_backlog_goes_out_in_pieces() -> None:
    """What changed while the bus was away goes out in rounds of bounded size, parties first, then a beat."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            await side.add_channel("news")
            await site.settled()
            site.bus.cut("one")
            await asyncio.gather(*(side.register(f"tv-{n}", "device") for n in range(PARTIES_AT_ONCE + 30)))
            await side.operator.must(operations.CHANNEL_OPEN, channel="news", open=True)
            before = site.bus.sequence
            site.bus.heal("one")
            beat = await site.settled()
            assert beat.parties == PARTIES_AT_ONCE + 30
            later = [entry for entry, _ in site.opened()][-(site.bus.sequence - before) :]
            versions = {entry.version for entry in later if entry.kind == "party"}
            assert len(versions) == 2
            assert [entry.kind for entry in later if entry.kind != "party"] == ["channel", "beat"]
            assert site.newest("channel", "1").is_open
            await site.settled()
            assert site.read("SELECT count(*) FROM cluster_changes") == [(0,)]

    asyncio.run(run())


def test_a_lost_acknowledgement_and_a_broken_publication() -> None:
    """A master that was not told whether the bus took a round publishes it again, and is fenced by nobody."""

    async def run() -> None:
        async with masters() as site:
            master = await site.open()
            side = Side(site, master)
            await site.settled()
            site.bus.lose_acknowledgements("one", 2)
            await side.register("tv", "device")
            await site.settled()
            site.bus.break_off("one", 1)
            await side.register("box", "device")
            beat = await site.settled()
            assert beat.parties == 2
            assert master.term is not None
            assert master.term.number == 1

    asyncio.run(run())


def test_a_bus_that_lost_everything() -> None:
    """A bus that was made anew gets everything again from the same master."""

    async def run() -> None:
        async with masters() as site:
            master = await site.open()
            side = Side(site, master)
            await side.register("tv", "device")
            await site.settled()
            site.bus.forget()
            beat = await site.settled()
            assert beat.parties == 1
            assert site.newest("party", "tv") is not None
            assert master.term is not None

    asyncio.run(run())


def test_grants_of_replicas_come_in_once() -> None:
    """Rows of a journal are recorded once, at the replica's instant, however often they come."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            at_ms = site.wall_ms - 5_000
            rows = [GrantedRow(device="tv", channel=number, epochs=[1, 2], at_ms=at_ms)]
            await site.hand_in(1, rows)
            later = GrantedRow(device="tv", channel=number, epochs=[2], at_ms=at_ms + 1)
            await site.hand_in(1, [*rows, later])
            await site.hand_in(1, rows, journal="j2", replica="near")
            await site.ingested()
            granted = site.read("SELECT device, epoch, granted_at_ms FROM grants ORDER BY epoch")
            assert granted == [("tv", 1, at_ms), ("tv", 2, at_ms)]
            assert sorted(site.read("SELECT journal, number FROM cluster_journals")) == [("j1", 2), ("j2", 1)]
            assert site.read("SELECT count(*) FROM cluster_aside") == [(0,)]

    asyncio.run(run())


def test_what_cannot_be_recorded_is_kept() -> None:
    """Grants of what the database does not know, and batches that nobody can open, are kept aside."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            rows = [
                GrantedRow(device="nobody", channel=number, epochs=[1], at_ms=1),
                GrantedRow(device="tv", channel=number, epochs=[1, 77], at_ms=2),
                GrantedRow(device="tv", channel=number, epochs=[2], at_ms=3),
            ]
            await site.hand_in(1, rows)
            await site.bus.client("far").submit("far", "broken", b"nothing of ours")
            await site.ingested()
            assert site.read("SELECT device, epoch FROM grants") == [("tv", 2)]
            kept = site.read("SELECT journal, reason FROM cluster_aside ORDER BY journal, number")
            assert [journal for journal, _ in kept] == ["j1", "j1", "unreadable"]
            assert "no device nobody" in kept[0][1]
            assert "no epoch 77" in kept[1][1]

    asyncio.run(run())


def test_a_fence_beyond_what_replicas_may_have_granted() -> None:
    """A device whose grant is still in a replica's journal cannot have the first key from its fence on."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            removed = await side.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            # Epoch 2 was published, so a replica may have given it: nothing here says that it has.
            assert removed.fence_epoch == 3
            assert removed.skipped == [2]
            await site.hand_in(1, [GrantedRow(device="tv", channel=number, epochs=[2], at_ms=site.wall_ms)])
            await site.ingested()
            assert site.read("SELECT max(epoch) FROM grants WHERE device = 'tv'") == [(2,)]

    asyncio.run(run())


def test_a_key_is_published_when_replicas_can_have_it() -> None:
    """A sender hears a yes once the bus has its key; while it has not, to ask again, and the key is kept."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            number = await on_air(side)
            studio = await side.register("other", "sender", channels=["news"])
            lease = await studio.must(operations.LEASE, channel="news")
            epoch = lease.slots[0].epoch
            site.bus.cut("one")
            key = material(number, epoch)
            no = await side.publish(studio, "news", key)
            assert (no.status, no.problem) == (503, "busy")
            site.bus.heal("one")
            await site.settled()
            assert (await side.publish(studio, "news", key)).status == 200
            published = [each.epoch for each in site.newest("channel", str(number)).epochs if each.material]
            assert epoch in published
            assert site.read("SELECT max(epoch) FROM epochs WHERE wrapped_key IS NOT NULL") == [(epoch,)]

    with mock.patch.object(delivering, "DELIVER_S", 0.2):
        asyncio.run(run())


def test_a_master_that_died_before_it_published() -> None:
    """What was committed and not published is published by the next master, whoever that is."""

    async def run() -> None:
        async with masters() as site:
            one = await site.open("one", is_awake=False)
            side = Side(site, one)
            number = await on_air(side)
            await side.register("tv", "device", channels=["news"])
            await site.settled()
            site.bus.cut("one")
            await side.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            # As if it had been killed: nothing more of it is heard, and its lease runs out.
            one.stand_by("the test kills it")
            site.pass_ms(LEASE_MS + 1)
            two = await site.open("two")
            assert two.term is not None
            assert two.term.number == 2
            beat = await site.settled()
            assert beat.master == "two"
            assert site.newest("party", "tv").subscriptions == []
            assert [each.epoch for each in site.newest("channel", str(number)).fences] == [3]
            assert {entry.term for entry, _ in site.opened()} == {2}

    asyncio.run(run())


def test_a_beat_only_when_the_bus_has_everything() -> None:
    """A master whose bus takes a round and fails says nothing of being up to date, until all is there."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            await asyncio.gather(*(side.register(f"tv-{n}", "device") for n in range(PARTIES_AT_ONCE + 5)))
            await site.settled()
            site.bus.forget()
            site.bus.break_off("one", PARTIES_AT_ONCE - 1)
            await until(lambda: len(site.opened()) == PARTIES_AT_ONCE - 1)
            assert site.newest("beat") is None
            beat = await site.settled()
            assert beat.parties == PARTIES_AT_ONCE + 5
            parties = [entry.name for entry, _ in site.opened() if entry.kind == "party"]
            assert len(parties) == PARTIES_AT_ONCE + 5

    asyncio.run(run())


def test_a_fence_beyond_a_chain_that_anybody_may_follow() -> None:
    """A removed device may have been given a chain by a replica: its fence is a fresh start."""

    async def run() -> None:
        async with masters() as site:
            side = Side(site, await site.open())
            await Chain.at(side)
            await side.register("tv", "device", channels=["news"])
            removed = await side.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            assert removed.fence_epoch == 3
            assert removed.skipped == [2]
            beat = await site.settled()
            assert beat.channels == 1

    asyncio.run(run())
