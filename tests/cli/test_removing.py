"""Shows what `subscriber remove` says of the stream: what opens until when, and what became of --now."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from sealcast.cli.acting import Operator
from sealcast.cli.removing import Removal, _remove, not_switched, told
from sealcast.device.token import PartyKeys
from server.running import running

ON_AIR = Removal(
    channel="news", device="TV-1", fence_epoch=3, on_air=1, skipped=[2], window_ms=None, remaining_ms=90_500
)


def test_without_hurry_it_says_what_is_on_air() -> None:
    """The epoch on air opens until it is over; a key that was fetched ahead is named."""
    assert told(ON_AIR) == [
        "TV-1 may no longer receive news: it opens nothing from epoch 3 on",
        "skipped, since it may hold the key: epoch 2; never on air",
        "epoch 1 is on air, for 90.5 s more; --now would have changed keys at once",
    ]


def test_what_became_of_now() -> None:
    """The time that the change took, or a line that says why there was none, and that the removal stands."""
    done = replace(ON_AIR, window_ms=2_000, switched=True, took_ms=2_140)
    assert told(done)[-1] == "keys changed 2.1 s after the removal: it is shut out"
    late = replace(ON_AIR, window_ms=2_000, switched=False, took_ms=10_020)
    assert not_switched(late).startswith("the sender of news has not changed keys within 10 s")
    assert "shut out with epoch 3" in not_switched(late)
    idle = replace(late, on_air=None)
    assert told(idle)[-1] == "nothing is on air: it opens nothing that is sent from now on"
    assert not_switched(idle) == ("nothing is on air on news, so no keys were changed; the removal stands")


def test_an_operator_whose_keys_are_elsewhere(tmp_path: Path) -> None:
    """An operator whose vault has public halves alone, as with a token, removes with the keys it holds."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.register("tv", "device", channels=["news"])
            own = server.operator.credential
            bare = replace(own, signing=own.signing.public(), kek=own.kek.public(), servers=[server.url])
            operator = Operator(bare, lambda _: None, PartyKeys(own.signing, own.kek))
            removal = await _remove(operator, "news", "tv", now=False, is_quiet=True)
            assert (removal.device, removal.fence_epoch) == ("tv", 1)

    asyncio.run(story())
