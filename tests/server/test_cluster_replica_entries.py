"""Shows that a replica comes to what the master has, whatever order, repetition or loss entries come in."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.core.ports import NS_PER_MS
from sealcast.core.secret import Secret
from sealcast.keyserver.air import AirState
from sealcast.keyserver.views import Views
from sealcast.messages.cluster import (
    AirEntry,
    AirRow,
    ChannelEntry,
    EntryBody,
    Kind,
    PartyEntry,
    SubscriptionRow,
)
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import RegisteredKeys
from sealcast.messages.subscribing import EndRow, Event
from sealcast.server.cluster.taking import Held, Taker
from sealcast.server.cluster.taking_channel import take_channel
from sealcast.server.principals import Principals
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.testing import SimClock
from server.inprocess import MEMORY
from server.replicas import channel, epoch, name_of

MASTER = Secret(bytes(range(32)))
STATES = ("PLANNED", "PUBLISHED", "ACTIVE", "DRAINING")
NAMES = ("news", "sport")


class NoReceptions:
    """Ends receptions that nobody keeps."""

    def end_receptions(self, connection: sa.Connection, ends: list[EndRow], wall_ms: int) -> None:
        """Do nothing."""


@functools.cache
def empty() -> Path:
    """Return a database to be copied."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    path = Path(kept.name) / "empty.sqlite"
    engine = open_engine(path)
    upgrade(engine)
    engine.dispose()
    return path


class Taken:
    """A replica's tables, and its memory of them."""

    def __init__(self, folder: Path) -> None:
        path = folder / "replica.sqlite"
        shutil.copy(empty(), path)
        self._engine = open_engine(path)
        self.views, self.principals, self.air = Views(MASTER), Principals((), MASTER), AirState()
        self.events: list[Event] = []
        self.clock = SimClock()
        held = Held(
            master=MASTER,
            views=self.views,
            air=self.air,
            principals=self.principals,
            receptions=NoReceptions(),
            on_notice=self._hear,
            clock=self.clock,
        )
        self._taker = Taker(held, take_channel)

    def _hear(self, event: Event, party: str | None = None) -> None:
        _ = party
        self.events.append(event)

    def take(self, entry: EntryBody) -> bool:
        """Take an entry over in a transaction of its own."""
        with self._engine.begin() as connection:
            return self._taker.take(connection, entry)

    def take_and_undo(self, entry: EntryBody) -> None:
        """Take an entry over in a transaction that fails."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            self._taker.take(connection, entry)
            transaction.rollback()
        self._taker.forget()
        self.views.clear()

    def state(self) -> dict[str, Any]:
        """Return what requests are decided on, read from the tables, with keys as they are."""
        with self._engine.begin() as connection:
            return _state(connection, Views(MASTER), Principals((), MASTER))

    def remembered(self) -> dict[str, Any]:
        """Return the same with what is remembered."""
        with self._engine.begin() as connection:
            return _state(connection, self.views, self.principals)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


def _state(connection: sa.Connection, views: Views, principals: Principals) -> dict[str, Any]:
    def rows(query: str) -> list[Any]:
        return sorted(tuple(row) for row in connection.execute(sa.text(query)))

    live = [number for (number,) in rows("SELECT number FROM channels WHERE removed_at_ms IS NULL")]
    channels = {}
    for number in live:
        view = views.get(connection, str(number))
        held = [row.epoch for row in view.epochs if row.has_key]
        teks = {each: views.tek(connection, view, each).key.reveal() for each in held}
        assert views.get(connection, view.spec.name).spec.number == number
        channels[number] = (view.spec, view.senders, view.sender_keys, view.epochs, view.fences, teks)
    known = [principals.named(connection, name) for name in ("a", "b", "studio")]
    return {
        "channels": channels,
        "parties": [each and (each.id, each.role, each.signing, each.standing) for each in known],
        "lists": rows("SELECT device, channel, added_at_ms FROM subscriptions WHERE removed_at_ms IS NULL"),
        "air": rows("SELECT channel, ssrc, epoch, roc FROM reports"),
        "orphans": rows("SELECT epoch FROM epochs WHERE state = 'RETIRED' AND wrapped_key IS NOT NULL"),
    }


@contextlib.contextmanager
def taken() -> Iterator[Callable[[], Taken]]:
    """Give a maker of empty replicas, and leave nothing of them."""
    made: list[Taken] = []
    with contextlib.ExitStack() as stack:

        def make() -> Taken:
            place = MEMORY if MEMORY.is_dir() else None
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=place))
            made.append(Taken(Path(folder)))
            return made[-1]

        try:
            yield make
        finally:
            for each in made:
                each.close()


keys = st.binary(min_size=32, max_size=32).map(lambda data: Jwk(kty="oct", k=b64url_encode(data)))


@st.composite
def parties(draw: st.DrawFn) -> PartyEntry:
    """Draw a party: a device with lists, a sender, or one that was removed."""
    name = draw(st.sampled_from(["a", "b", "studio"]))
    is_there = draw(st.booleans())
    lists = draw(st.sets(st.sampled_from([1, 2]))) if is_there and name != "studio" else set()
    return PartyEntry(
        id=name,
        role="sender" if name == "studio" else "device",
        kind="symmetric",
        registered_at_ms=draw(st.integers(1, 9)),
        removed_at_ms=None if is_there else 10,
        keys=RegisteredKeys(signing=draw(keys), kek=draw(keys)) if is_there else None,
        subscriptions=[SubscriptionRow(channel=number, added_at_ms=5) for number in sorted(lists)],
    )


@st.composite
def channel_entries(draw: st.DrawFn) -> ChannelEntry:
    """Draw a channel, live or removed, with some epochs; both may have either name."""
    number = draw(st.sampled_from([1, 2]))
    if not draw(st.integers(0, 4)):
        return channel(number, [], name=draw(st.sampled_from(NAMES)), removed_at_ms=10)
    epochs = [
        epoch(number, turn, state, has_key=state in {"PUBLISHED", "ACTIVE"})
        for turn, state in sorted(draw(st.dictionaries(st.integers(1, 6), st.sampled_from(STATES))).items())
    ]
    return channel(number, epochs, floor=draw(st.integers(0, 5)), name=draw(st.sampled_from(NAMES)))


@st.composite
def airs(draw: st.DrawFn) -> AirEntry:
    """Draw what is on air of a channel."""
    runs = [
        AirRow(
            ssrc=turn,
            epoch=turn,
            remaining_ms=1,
            lifetime_ms=1,
            extended=False,
            roc=draw(st.integers(0, 3)),
            seq=1,
            reported_at_ms=1,
        )
        for turn in sorted(draw(st.sets(st.integers(1, 3), max_size=2)))
    ]
    return AirEntry(channel=draw(st.sampled_from([1, 2])), runs=runs)


bodies = st.one_of(
    parties().map(lambda body: ("party", body)),
    channel_entries().map(lambda body: ("channel", body)),
    airs().map(lambda body: ("air", body)),
)


def entry(kind: Kind, body: Any, version: int) -> EntryBody:
    """Return an entry of a version."""
    return EntryBody(
        kind=kind,
        name=name_of(kind, body),
        version=version,
        term=1,
        at_ms=version,
        body=msgspec.Raw(encode(body)),
    )


def consistent(history: list[tuple[Kind, Any]]) -> list[EntryBody]:
    """Return a history as a master can have it: of a name at most one channel lives at a time."""
    made: list[EntryBody] = []
    names: dict[str, int] = {}
    for version, (kind, body) in enumerate(history, 1):
        if kind == "channel":
            number, called = body.channel.number, body.channel.name
            names = {each: owner for each, owner in names.items() if owner != number}
            if body.removed_at_ms is None and names.get(called, number) != number:
                continue
            if body.removed_at_ms is None:
                names[called] = number
        made.append(entry(kind, body, version))
    return made


@settings(max_examples=15)
@given(st.lists(bodies, min_size=1, max_size=14), st.data())
def test_any_order_any_repetition_any_loss(history: list[tuple[Kind, Any]], data: st.DataObject) -> None:
    """In the end a replica has what one has that heard the newest alone, and never went back on the way."""
    published = consistent(history)
    newest = {(each.kind, each.name): each for each in published}
    last = sorted(newest.values(), key=lambda each: each.version)
    noise = data.draw(st.lists(st.sampled_from(published), max_size=20)) if published else []
    with taken() as make:
        one, other = make(), make()
        reached: dict[tuple[str, str], int] = {}
        for each in [*noise, *data.draw(st.permutations(last)), *noise]:
            place = each.kind, each.name
            assert one.take(each) == (each.version > reached.get(place, 0))
            reached[place] = max(reached.get(place, 0), each.version)
            assert one.state()["orphans"] == []
            assert one.remembered() == one.state()
        for each in last:
            assert other.take(each)
        assert one.state() == other.state()


def test_a_key_that_was_erased_does_not_come_back() -> None:
    """An older entry that carries a key is not taken after a newer one that does not."""
    with taken() as make:
        replica = make()
        with_key = entry("channel", channel(1, [epoch(1, 4, "ACTIVE")]), 5)
        without = entry("channel", channel(1, [epoch(1, 4, "DRAINING", has_key=False)]), 6)
        assert [replica.take(each) for each in (with_key, without, with_key)] == [True, True, False]
        (found,) = replica.state()["channels"].values()
        assert found[-1] == {}
        assert replica.air.latest(ChannelNumber(1), Epoch(4)) is None


def test_listeners_hear_of_keys_and_fences() -> None:
    """What is published now is told to those who listen here, once; what happened long ago is no news."""
    with taken() as make:
        replica = make()
        now_ms = replica.clock.wall_ns() // NS_PER_MS

        def told(turn: int, floor: int, *, version: int, age_ms: int = 0) -> list[tuple[str, str]]:
            replica.events.clear()
            made = entry("channel", channel(1, [epoch(1, turn, "PUBLISHED")], floor=floor), version)
            replica.take(msgspec.structs.replace(made, at_ms=now_ms - age_ms))
            return [(event.kind, event.key_id) for event in replica.events]

        assert told(4, 0, version=1) == [("key-change", "0000000100000004")]
        assert told(4, 0, version=2) == []
        assert told(5, 5, version=3) == [("key-change", "0000000100000005"), ("fence", "")]
        assert told(6, 5, version=4, age_ms=60_000) == []


def test_the_same_again_is_taken_as_known() -> None:
    """A new master's publication of everything raises versions; what was rolled back is not believed."""
    party = PartyEntry(id="a", role="device", kind="symmetric", registered_at_ms=1, removed_at_ms=2)
    listed = SubscriptionRow(channel=1, added_at_ms=5)
    key = Jwk(kty="oct", k=b64url_encode(bytes(32)))
    live = msgspec.structs.replace(
        party, removed_at_ms=None, keys=RegisteredKeys(signing=key, kek=key), subscriptions=[listed]
    )
    with taken() as make:
        replica = make()
        assert replica.take(entry("party", live, 1))
        before = replica.state()
        assert replica.take(entry("party", live, 2))
        assert not replica.take(entry("party", party, 2))
        assert replica.state() == before
        replica.take_and_undo(entry("party", party, 3))
        assert replica.state() == before
        assert replica.take(entry("party", party, 4))
        assert replica.state()["lists"] == []
