"""Shows that channels from before chains go on as they were: fetched keys, and grants of one epoch each."""

import contextlib
from pathlib import Path

from sealcast.core.channel import REPEATS, Framing, ScheduleKind
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keyserver import store_channels, store_epochs, store_fences, store_requests
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from storage.older import make_schema

BEFORE_CHAINS = "0003"
OLD = """
INSERT INTO principals (id, role, kind, registered_at_ms) VALUES ('tv', 'device', 'key-pair', 4);
INSERT INTO principals (id, role, kind, registered_at_ms) VALUES ('studio', 'sender', 'key-pair', 4);
INSERT INTO channels (number, name, "group", port, suite, keys, lifetime_ms, publish_at, prefetch_at,
    next_epoch, added_at_ms)
    VALUES (7, 'news', '239.1.2.3', 5004, 'aes-256-gcm', 'sender', 90000, '50%', '25%', 17, 4);
INSERT INTO epochs (channel, epoch, sender, ssrc, consumed, state, wrapped_key, leased_at_ms)
    VALUES (7, 3, 'studio', 99, 1, 'ACTIVE', x'01', 4);
INSERT INTO grants (device, channel, epoch, granted_at_ms) VALUES ('tv', 7, 3, 5);
"""
NEWS = ChannelNumber(7)


def test_channels_from_before_chains(tmp_path: Path) -> None:
    """The schedule is `fetch` and nothing else changes; an old grant is of its epoch, and of no chain."""
    with contextlib.closing(open_engine(tmp_path / "old.sqlite").connect()) as connection:
        with connection.begin():
            make_schema(connection, BEFORE_CHAINS)
            for statement in OLD.split(";")[:-1]:
                connection.exec_driver_sql(statement)
        upgrade(connection.engine)
        with connection.begin():
            found = store_channels.find(connection, "news")
            assert found is not None
            spec = found.spec
            assert (spec.number, spec.lifetime_ms, spec.schedule) == (NEWS, 90_000, ScheduleKind.FETCH)
            assert (spec.framing, spec.patterns, spec.repeats) == (Framing.KEYED, None, REPEATS)
            assert not spec.confidential
            (row,) = store_epochs.live(connection, NEWS)
            assert (row.follows, row.fresh_at, row.has_key, row.has_link) == (None, None, True, False)
            assert store_fences.chains_of(connection, "tv", NEWS, [Epoch(3), Epoch(4)]) == frozenset()
            key_id = KeyId(NEWS, Epoch(3))
            assert store_requests.live_keys_of(connection, "tv", [NEWS], 9) == [key_id]
            assert store_requests.granted_among(connection, "tv", [key_id, KeyId(NEWS, Epoch(4))]) == [key_id]
        connection.engine.dispose()
