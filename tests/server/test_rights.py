"""Shows that nobody gets a key without a right to it, and that all records agree, in any order of events."""

import asyncio
from pathlib import Path

from sealcast.messages import operations
from server.newcomers import enrolled
from server.running import running
from server.withdrawals import begin, receipt_of, signed, statement_of, withdraw


def test_a_copy_of_destroyed_keys_does_not_come_back(tmp_path: Path) -> None:
    """Who stated that its KEK is destroyed is subscribed no more under it; enrolled anew, it is."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=True)
            device = await enrolled(server, id="tv", channels=["news"])
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            again = await device.ask(operations.SUBSCRIBE, channel="news", user="Ada")
            assert (again.problem, "enrols anew" in again.detail) == ("not-in-good-standing", True)
            again = await server.operator.ask(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            assert again.problem == "not-in-good-standing"
            receipt_of(server, await withdraw(device, token), token)
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            back = await enrolled(server, id="tv")
            await back.must(operations.SUBSCRIBE, channel="news", user="Ada")
            assert (await back.ask(operations.KEYS, channel="news")).status == 200

    asyncio.run(story())
