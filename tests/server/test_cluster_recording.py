"""Shows that grants of replicas are recorded as if the master had made them, however late they come."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keyserver import store_requests
from sealcast.keyserver.calls import Call, Principal
from sealcast.keyserver.tables import channels, epochs, grants, principals
from sealcast.messages.channels import ChannelData
from sealcast.messages.cluster import GrantedRow, ReceptionRow
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import new_oct_key
from sealcast.messages.subscribing import ErasureStatement
from sealcast.server import granting
from sealcast.server.cluster import recording, recording_receptions
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.subscribers import store_withdrawals
from sealcast.subscribers.tables import erasures, withdrawals
from server.inprocess import MEMORY
from server.running import RANDOM
from storage.places import Places

NEWS = ChannelNumber(1)
PLAIN, CHAINED, FRESH_AT = (1, 2, 3), (11, 12, 13), 14
DEVICES = ("tv", "box")
STEP_MS = 1_000
Event = tuple[str, str, tuple[int, ...]]
"""What happened: a grant or a statement of erasure, of which device, of which epochs."""


@pytest.fixture(scope="module")
def connection() -> Iterator[sa.Connection]:
    """Give a database with a channel, two devices, epochs of both schedules; each test undoes what it did."""
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, filled(Path(folder) / "keys.db") as made:
        yield made


@contextmanager
def filled(database: Path | str) -> Iterator[sa.Connection]:
    """Give a database with what the tests need."""
    engine = open_engine(database)  # type: ignore[arg-type]
    upgrade(engine)
    try:
        with engine.connect() as made:
            with made.begin():
                _fill(made)
            yield made
    finally:
        engine.dispose()


def _fill(connection: sa.Connection) -> None:
    data = ChannelData(name="news", group="239.1.2.3", port=5004)
    names = [name for name in ChannelData.__struct_fields__ if name != "number"]
    values = {name: getattr(data, name) for name in names}
    connection.execute(channels.insert(), {**values, "next_epoch": 20, "added_at_ms": 0})
    for name, role in (("studio", "sender"), *((device, "device") for device in DEVICES)):
        kept = {"kind": "symmetric", "public_keys": "{}", "registered_at_ms": 0}
        connection.execute(principals.insert(), {"id": name, "role": role, **kept})
    for epoch in (*PLAIN, *CHAINED):
        connection.execute(
            epochs.insert(),
            {
                "channel": NEWS,
                "epoch": epoch,
                "sender": "studio",
                "ssrc": epoch,
                "consumed": True,
                "state": "PUBLISHED",
                "leased_at_ms": 0,
                "fresh_at": FRESH_AT if epoch in CHAINED else None,
            },
        )


@contextmanager
def undone(connection: sa.Connection) -> Iterator[None]:
    """Undo what is done inside."""
    transaction = connection.begin()
    try:
        yield
    finally:
        transaction.rollback()


class _View:
    """A channel as `granting` looks at it."""

    class spec:  # noqa: N801 - as a view has it
        number = NEWS

    chains = frozenset({Epoch(FRESH_AT)})

    def __init__(self, connection: sa.Connection) -> None:
        self._rows = {row.epoch: row for row in connection.execute(sa.select(epochs))}

    def find(self, epoch: int) -> Any:
        """Return an epoch's row."""
        return self._rows.get(epoch)


def grant(connection: sa.Connection, device: str, turns: Sequence[int], at_ms: int) -> None:
    """Have the master grant keys itself."""
    key = new_oct_key(RANDOM)
    call = Call(connection, Principal(device, "device", key, key), 0, at_ms)
    granting.record(call, _View(connection), [Epoch(turn) for turn in turns])  # type: ignore[arg-type]


def erase(connection: sa.Connection, number: int, device: str, turns: Sequence[int], at_ms: int) -> None:
    """Have a withdrawal closed by a statement that these keys are destroyed."""
    keys = [KeyId(NEWS, Epoch(turn)) for turn in turns]
    statement = ErasureStatement(
        operator="o",
        device=device,
        scope="1",
        statement_nonce="n",
        counter=number,
        erased=[str(key_id) for key_id in keys],
    )
    connection.execute(
        withdrawals.insert(),
        {
            "number": number,
            "device": device,
            "scope": "1",
            "nonce_sha256": bytes([number]),
            "counter": number,
            "begun_at_ms": at_ms,
            "closed_at_ms": at_ms,
            "statement": f"h.{b64url_encode(encode(statement))}.s",
        },
    )
    known = store_requests.granted_among(connection, device, keys)
    store_withdrawals.add_erasures(connection, number, device, known, at_ms)


def state(connection: sa.Connection) -> tuple[list[Any], list[Any]]:
    """Return all grants and all erasures."""
    return (
        sorted(tuple(row) for row in connection.execute(sa.select(grants))),
        sorted(
            (row.device, row.withdrawal, row.epoch, row.erased_at_ms, row.void_at_ms is not None)
            for row in connection.execute(sa.select(erasures))
        ),
    )


EVENTS = st.tuples(
    st.sampled_from(("grant", "grant", "erase")),
    st.sampled_from(DEVICES),
    st.one_of(
        st.sets(st.sampled_from(PLAIN), min_size=1).map(lambda turns: tuple(sorted(turns))),
        st.sampled_from(CHAINED).map(lambda turn: tuple(each for each in CHAINED if each >= turn)),
    ),
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=9), st.lists(st.booleans(), min_size=9, max_size=9))
def test_late_grants_are_recorded_as_timely_ones(
    connection: sa.Connection, events: list[Event], flushes: list[bool]
) -> None:
    """Whenever the batches of a journal come, grants and erasures are as if each had come at its instant."""
    compare(connection, events, flushes)


def test_late_grants_on_postgresql(postgres_places: Places, tmp_path: Path) -> None:
    """There too: what came too late for its erasure, and what was granted anew after it, in one batch."""
    with filled(postgres_places.address(tmp_path, is_upgraded=True)) as connection:
        for turns in ((1, 2), CHAINED):
            events: list[Event] = [
                ("grant", "tv", turns),
                ("grant", "box", turns),
                ("erase", "tv", turns),
                ("grant", "tv", turns[1:]),
                ("grant", "tv", turns[1:]),
            ]
            for at in range(len(events)):
                compare(connection, events, [number == at for number in range(len(events))])


def compare(connection: sa.Connection, events: Sequence[Event], flushes: Sequence[bool]) -> None:
    """Have events happen at a master, and again with grants that come in batches after some of them."""
    with undone(connection):
        for number, (kind, device, turns) in enumerate(events, start=1):
            if kind == "grant":
                grant(connection, device, turns, number * STEP_MS)
            else:
                erase(connection, number, device, turns, number * STEP_MS)
        timely = state(connection)
    with undone(connection):
        waiting: list[tuple[int, GrantedRow]] = []
        for number, (kind, device, turns) in enumerate(events, start=1):
            at_ms = number * STEP_MS
            if kind == "grant":
                row = GrantedRow(device=device, channel=NEWS, epochs=list(turns), at_ms=at_ms)
                waiting.append((number, row))
            else:
                erase(connection, number, device, turns, at_ms)
            if flushes[number - 1]:
                recording.record(connection, waiting, keeps_evidence=False)
                waiting = []
        recording.record(connection, waiting, keeps_evidence=False)
        assert state(connection) == timely


def reception(device: str, since_ms: int, **more: Any) -> ReceptionRow:
    """Return a reception as a replica has it."""
    fields: dict[str, Any] = {"seen_ms": since_ms, "channel_name": "news", **more}
    return ReceptionRow(device=device, channel=NEWS, since_ms=since_ms, **fields)


def receptions(connection: sa.Connection) -> list[tuple[Any, ...]]:
    """Return device, begin, packets, end and reason of all receptions."""
    query = "SELECT device, since_ms, packets, ended_at_ms, reason FROM receptions ORDER BY device, since_ms"
    return [tuple(row) for row in connection.execute(sa.text(query))]


def test_a_reception_goes_on_elsewhere(connection: sa.Connection) -> None:
    """Of two replicas that both say a device receives, the one where it began last is believed."""
    with undone(connection):
        recording_receptions.record(connection, [reception("tv", 100), reception("tv", 100, packets=5)])
        recording_receptions.record(connection, [reception("tv", 300)])
        recording_receptions.record(connection, [reception("tv", 100, seen_ms=250, packets=9)])
        assert receptions(connection) == [("tv", 100, 9, 250, "timeout"), ("tv", 300, 0, None, None)]
        recording_receptions.record(connection, [reception("tv", 300, ended_at_ms=400, reason="stopped")])
        recording_receptions.record(connection, [reception("tv", 100, seen_ms=500, packets=10)])
        assert receptions(connection) == [("tv", 100, 10, None, None), ("tv", 300, 0, 400, "stopped")]


def test_an_end_by_decision_stands(connection: sa.Connection) -> None:
    """What the master ended for a removal, no news of a replica begins again."""
    with undone(connection):
        recording_receptions.record(connection, [reception("tv", 100)])
        connection.execute(sa.text("UPDATE receptions SET ended_at_ms = 200, reason = 'removed'"))
        recording_receptions.record(connection, [reception("tv", 100, packets=7)])
        assert receptions(connection) == [("tv", 100, 7, 200, "removed")]


ROWS = st.builds(
    lambda device, since, over, packets: reception(
        device, since, packets=packets, **({"ended_at_ms": since + 5, "reason": "stopped"} if over else {})
    ),
    st.sampled_from(DEVICES),
    st.sampled_from((100, 200, 300)),
    st.booleans(),
    st.integers(0, 9),
)


@settings(max_examples=40)
@given(st.lists(st.lists(ROWS, max_size=5), max_size=5))
def test_one_reception_at_a_time(connection: sa.Connection, batches: list[list[ReceptionRow]]) -> None:
    """Whatever replicas say in whatever order, a device has one live reception of a channel at most."""
    with undone(connection):
        for batch in batches:
            recording_receptions.record(connection, batch)
        told = {(row.device, row.since_ms) for batch in batches for row in batch}
        assert {(device, since) for device, since, *_ in receptions(connection)} == told
