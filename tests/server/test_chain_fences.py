"""Shows fences of a chain at the key server: removals, revoked devices, and fresh starts on command."""

import asyncio
from pathlib import Path

import pytest

from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.answers import FenceOrder
from server.chains import Chain, keys_of, read
from server.newcomers import enrolled, rows
from server.running import running

FENCES = "SELECT epoch, is_urgent FROM fences ORDER BY number"
AUDIT = "SELECT what, subject FROM audit WHERE what = 'channel-fresh-start'"


@pytest.mark.parametrize("is_now", [False, True], ids=["at the next change", "now"])
def test_removal_leads_to_a_fresh_start(tmp_path: Path, *, is_now: bool) -> None:
    """What the device can follow is skipped, its sender hears of it in any case, and no chain crosses."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            tv, radio = await chain.device("tv"), await chain.device("radio")
            await keys_of(tv)
            await keys_of(radio)
            await chain.report(2)
            three = await chain.publish(3, follows=2)
            removed = await server.operator.must(
                operations.SUBSCRIBER_REMOVE, channel="news", device="tv", now=is_now
            )
            assert (removed.fence_epoch, removed.skipped, removed.on_air) == (4, [3], 2)
            assert await chain.report(2) == FenceOrder(epoch=4, window_ms=2_000, urgent=is_now)
            assert read(await keys_of(radio, *chain.held(2)), chain.teks[2]) == [three]
            for before in (2, 3):
                refused = await chain.offer(chain.make(4, follows=before))
                assert refused.problem == "fresh-start-needed"
                assert "fence" in refused.detail
            four = await chain.publish(4)
            coming = await keys_of(radio, *chain.held(2))
            assert read(coming) == [four]
            assert coming.window is not None
            assert coming.window.closes_in_ms - coming.window.opens_in_ms == 120_000
            assert (await tv.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            assert await chain.report(4) is None
            await chain.publish(5, follows=4)
            assert rows(tmp_path, FENCES) == [(4, is_now)]

    asyncio.run(story())


def test_the_key_on_air_alone_needs_a_fence_in_a_chain(tmp_path: Path) -> None:
    """Nothing is published to be skipped, and still the next key must not follow; a stranger needs none."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            await chain.report(2)
            await chain.device("stranger")
            await keys_of(await chain.device("tv"))
            quiet = await server.operator.must(
                operations.SUBSCRIBER_REMOVE, channel="news", device="stranger"
            )
            assert (quiet.fence_epoch, quiet.skipped) == (3, [])
            assert await chain.report(2) is None
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            assert await chain.report(2) == FenceOrder(epoch=3, window_ms=2_000, urgent=False)
            assert (await chain.offer(chain.make(3, follows=2))).problem == "fresh-start-needed"
            await chain.publish(3)

    asyncio.run(story())


def test_a_commanded_fresh_start(tmp_path: Path) -> None:
    """All that is published is skipped, nobody is removed, and the audit says who commanded it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            ordered = await server.operator.must(operations.CHANNEL_FRESH_START, channel="news", now=True)
            assert (ordered.channel, ordered.fence_epoch, ordered.on_air) == ("news", 3, 1)
            assert (ordered.skipped, ordered.window_ms) == ([2], 2_000)
            assert await chain.report(1) == FenceOrder(epoch=3, window_ms=2_000, urgent=True, commanded=True)
            assert (await chain.offer(chain.make(3, follows=1))).problem == "fresh-start-needed"
            await chain.publish(3)
            assert await chain.report(3) is None
            calm = await server.operator.must(operations.CHANNEL_FRESH_START, channel="news")
            assert (calm.fence_epoch, calm.skipped, calm.window_ms) == (4, [], None)
            await chain.report(3, ended=True)
            who = "SELECT DISTINCT who FROM audit WHERE what = 'channel-fresh-start'"
            assert len(rows(tmp_path, who)) == 1
            assert rows(tmp_path, AUDIT) == [
                ("channel-fresh-start", "news 3 command now"),
                ("channel-fresh-start", "news 4 command"),
            ]
            assert rows(tmp_path, FENCES) == [(3, 1), (4, 0)]

    asyncio.run(story())


def test_a_revoked_device_is_shut_out_of_a_chain(tmp_path: Path) -> None:
    """Its certificate revoked, it stays on the list, and the keys that it can follow to go on air no more."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            tv = await enrolled(server, KeyKind.P256, id="tv", channels=["news"])
            await keys_of(tv)
            await server.operator.must(operations.CERTIFICATE_REVOKE, id="tv")
            assert await chain.report(1) == FenceOrder(epoch=3, window_ms=2_000, urgent=False)
            assert (await chain.offer(chain.make(3, follows=2))).problem == "fresh-start-needed"
            assert (await tv.ask(operations.KEYS, channel="news")).problem == "certificate-revoked"

    asyncio.run(story())
