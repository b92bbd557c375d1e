"""Shows what a master of several key servers publishes, records and refuses."""

import asyncio

from sealcast.messages import operations
from server.masters import Side, masters
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
