"""Shows what `channel fresh-start` says of the stream: at the next change, and what became of --now."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec

from sealcast.cli.acting import Operator
from sealcast.cli.freshstart import Ordered, not_switched, order, told
from server.chains import Chain
from server.running import running

ON_AIR = Ordered("news", fence_epoch=3, on_air=1, skipped=[2], window_ms=None)


def test_what_is_said_of_an_order() -> None:
    """What is skipped, when the chain starts afresh, how long that took, or that nothing is on air."""
    skipped, coming = told(ON_AIR)
    assert skipped == "skipped, since its key is made already: epoch 2; never on air"
    assert coming.startswith("news starts afresh with its next key, epoch 3 or later; epoch 1 is on air")
    done = replace(ON_AIR, on_air=3, skipped=[], switched=True, took_ms=2_140)
    assert told(done) == ["news started afresh with epoch 3, after 2.1 s"]
    idle = replace(ON_AIR, on_air=None, skipped=[])
    assert told(idle) == ["nothing is on air on news: its next key follows from none before"]
    late = replace(ON_AIR, switched=False, took_ms=10_020)
    assert not_switched(late).startswith("the sender of news has not changed keys within 10 s")
    assert told(late) == [skipped]


def test_now_waits_until_the_fresh_start_is_on_air(tmp_path: Path) -> None:
    """The order reaches the key server, and the command ends once its sender reports the epoch."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            credential = msgspec.structs.replace(server.operator.credential, servers=[server.url])
            operator = Operator(credential, lambda _: None)
            calm = await order(operator, "news", now=False)
            assert (calm.fence_epoch, calm.skipped, calm.switched) == (3, [2], None)
            waiting = asyncio.create_task(order(operator, "news", now=True))
            for _ in range(500):
                fence = await chain.report(1)
                if fence is not None and fence.urgent:
                    break
            await chain.publish(3)
            await chain.report(3)
            done = await waiting
            assert (done.on_air, done.switched) == (3, True)

    asyncio.run(story())
