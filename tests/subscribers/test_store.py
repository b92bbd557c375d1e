"""Shows the allow list: who stands on it, once, and what stays of those who left."""

from functools import partial
from pathlib import Path

import pytest

from sealcast.core.ids import ChannelNumber
from sealcast.subscribers import store
from sealcast.subscribers.store import Subscription
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")

everybody = partial(store.page, after=(0, ""), count=100)
NEWS, SPORT = ChannelNumber(1), ChannelNumber(2)


def test_devices_come_and_go(tmp_path: Path) -> None:
    """A device stands on a channel's list from its adding to its removal, and can come back."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        assert do(lambda c: store.add(c, Subscription(NEWS, "one", 10)))
        assert not do(lambda c: store.add(c, Subscription(NEWS, "one", 11)))
        assert do(lambda c: store.is_listed(c, NEWS, "one"))
        assert not do(lambda c: store.is_listed(c, SPORT, "one"))
        assert do(lambda c: store.remove(c, NEWS, "one", 20, ended_by="removed", fence_epoch=7))
        assert not do(lambda c: store.remove(c, NEWS, "one", 21, ended_by="removed", fence_epoch=8))
        assert not do(lambda c: store.is_listed(c, NEWS, "one"))
        assert do(lambda c: store.add(c, Subscription(NEWS, "one", 30)))
        assert do(everybody) == [Subscription(NEWS, "one", 30)]
        query = "SELECT added_at_ms, removed_at_ms, ended_by, fence_epoch FROM subscriptions"
        history = do(lambda c: c.exec_driver_sql(query).all())
        assert [tuple(row) for row in history] == [(10, 20, "removed", 7), (30, None, None, None)]


def test_lists_of_channels_are_apart(tmp_path: Path) -> None:
    """Counting and ending all subscriptions of one channel leaves the other's alone."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        for channel, device in ((NEWS, "one"), (NEWS, "two"), (SPORT, "one")):
            do(partial(store.add, subscription=Subscription(channel, device, 1)))
        assert do(lambda c: store.count(c, NEWS)) == 2
        do(lambda c: store.remove_all(c, NEWS, 9))
        assert do(lambda c: store.count(c, NEWS)) == 0
        assert do(everybody) == [Subscription(SPORT, "one", 1)]


def test_pages_of_the_list(tmp_path: Path) -> None:
    """Pages go on behind a channel and device, across channels or within one, and leave nobody out."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        places = [(channel, f"tv-{n}") for channel in (NEWS, SPORT) for n in range(5)]
        for channel, device in reversed(places):
            do(partial(store.add, subscription=Subscription(channel, device, 1)))
        seen: list[tuple[int, str]] = []
        while found := do(partial(store.page, after=seen[-1] if seen else (0, ""), count=3)):
            seen += [(each.channel, each.device) for each in found]
        assert seen == places
        news = do(partial(store.page_of_channel, after=(NEWS, "tv-1"), count=100))
        assert [(each.channel, each.device) for each in news] == places[2:5]
