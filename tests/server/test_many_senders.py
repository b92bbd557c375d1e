"""Many senders on one key server: whatever they do in whichever order, no key ID or SSRC comes twice."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.device.vault import Credential
from sealcast.keys.lease import RUN_SLOTS
from sealcast.messages import operations
from sealcast.messages.answers import KeyMaterial
from server.inprocess import InProcess
from server.running import Caller, Running, material

NO_RECORD = 2**32 - 1
RECORDS, CHANNELS = 4, 2
MANY = 200


class Inside(Running):
    """A key server in this process, as tests of a running one ask it."""

    def __init__(self, inner: InProcess) -> None:
        super().__init__(Path(), "", inner.operator, asyncio.Event())
        self.inner = inner

    def caller(self, credential: Credential) -> Caller:
        """Return another party's side."""
        return self.inner.guest(credential)


@pytest.fixture
def inner() -> Iterator[InProcess]:
    """Return a key server that is ended afterwards."""
    made = InProcess()
    yield made
    made.close()


@dataclass
class Record:
    """What one sender's state folder says of one channel."""

    credential: Credential
    first_unused: int = NO_RECORD
    slots: dict[int, int] = field(default_factory=dict)
    """Epoch and SSRC of what may still be used."""
    ssrc: int | None = None


@dataclass
class World:
    """Two channels, and four records: two parties with one each, one party with two."""

    inner: InProcess
    numbers: list[int] = field(default_factory=list)
    records: dict[tuple[int, int], Record] = field(default_factory=dict)
    given: dict[tuple[int, int], int] = field(default_factory=dict)
    """Whose record each (channel, epoch) was given to."""
    ssrcs: dict[tuple[int, int], int] = field(default_factory=dict)
    used: set[tuple[int, int, int]] = field(default_factory=set)
    """(channel, SSRC, epoch) under which something was sealed."""
    keys: dict[str, KeyMaterial] = field(default_factory=dict)

    def begin(self) -> None:
        """Add channels and parties."""
        side = Inside(self.inner)
        for at in range(CHANNELS):
            row = self.inner.run(side.add_channel(f"c{at}", group=f"239.1.2.{at + 1}"))
            self.numbers.append(row.channel.number)
        names = [f"c{at}" for at in range(CHANNELS)]
        parties = [self.inner.run(side.register(f"s{at}", "sender", channels=names)) for at in range(3)]
        for at in range(RECORDS):
            for channel in range(CHANNELS):
                self.records[at, channel] = Record(parties[min(at, 2)].credential)

    def step(self, what: str, who: int, channel: int, pick: int) -> None:
        """Have one record do something."""
        record, number = self.records[who, channel], self.numbers[channel]
        side = Inside(self.inner)
        caller = side.caller(record.credential)
        epoch = sorted(record.slots)[pick % len(record.slots)] if record.slots else None
        match what:
            case "lease" | "lease, answer lost":
                self._lease(caller, record, who, number, is_lost=what != "lease")
            case "lose the record":
                record.first_unused, record.slots, record.ssrc = NO_RECORD, {}, None
            case "publish" if epoch is not None:
                made = material(number, epoch)
                if self.inner.run(side.publish(caller, str(number), made)).status == 200:
                    assert self.keys.setdefault(made.key_id, made) == made
            case "start" | "change" if epoch is not None:
                is_start = what == "start" or record.ssrc is None
                record.ssrc = record.slots[epoch] if is_start else record.ssrc
                assert record.ssrc is not None
                self._use(number, record.ssrc, epoch)
                record.first_unused = epoch + 1
                record.slots = {each: ssrc for each, ssrc in record.slots.items() if each > epoch}
                self.inner.run(side.report(caller, str(number), record.ssrc, epoch))
            case "restart the key server":
                self.inner.restart()

    def _use(self, number: int, ssrc: int, epoch: int) -> None:
        assert (number, ssrc, epoch) not in self.used
        self.used.add((number, ssrc, epoch))

    def _lease(self, caller: Caller, record: Record, who: int, number: int, *, is_lost: bool) -> None:
        asked = {"first_unused": record.first_unused, "held": sorted(record.slots)}
        answer = self.inner.run(caller.must(operations.LEASE, channel=str(number), **asked))
        assert len(answer.slots) == RUN_SLOTS
        for slot in answer.slots:
            assert self.given.setdefault((number, slot.epoch), who) == who
            assert self.ssrcs.setdefault((number, slot.ssrc), slot.epoch) == slot.epoch
        if not is_lost:
            record.slots = {slot.epoch: slot.ssrc for slot in answer.slots}
            record.first_unused = min(record.slots)


STEPS = (
    "lease",
    "lease",
    "lease, answer lost",
    "lose the record",
    "publish",
    "start",
    "change",
    "change",
    "restart the key server",
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(STEPS),
            st.integers(0, RECORDS - 1),
            st.integers(0, CHANNELS - 1),
            st.integers(0, RUN_SLOTS),
        ),
        min_size=10,
        max_size=60,
    )
)
def test_key_ids_are_unique_over_all_senders(steps: list[tuple[str, int, int, int]]) -> None:
    """Leases, starts, lost answers and records, restarts: each slot is one record's, each use a first one."""
    inner = InProcess()
    try:
        world = World(inner)
        world.begin()
        for step in steps:
            world.step(*step)
        for column in ("epoch", "ssrc"):
            (count, distinct), *_ = inner.read(
                f"SELECT COUNT(*), COUNT(DISTINCT channel * 4294967296 + {column}) FROM epochs"  # noqa: S608 - a name of this file
            )
            assert count == distinct == len(world.given)
    finally:
        inner.close()


def test_two_hundred_senders(inner: InProcess) -> None:
    """Two on each of a hundred channels lease, publish and report, all at once: of each one is on air."""
    side = Inside(inner)

    async def story() -> float:
        for at in range(MANY // 2):
            await side.add_channel(f"c{at}", group=f"239.2.0.{at + 1}")
        callers = [await side.register(f"s{at}", "sender", channels=[f"c{at // 2}"]) for at in range(MANY)]
        began_s = time.perf_counter()
        await asyncio.gather(*(serve(caller, at) for at, caller in enumerate(callers)))
        return time.perf_counter() - began_s

    async def serve(caller: Caller, at: int) -> None:
        channel = f"c{at // 2}"
        lease = await caller.must(operations.LEASE, channel=channel, first_unused=NO_RECORD)
        slot, number = lease.slots[0], lease.channel.number
        await side.publish(caller, channel, material(number, slot.epoch))
        await side.report(caller, channel, slot.ssrc, slot.epoch)

    took_s = inner.run(story())
    print(f"{MANY * 3 / took_s:.0f} operations/s")
    ((rows, on_air),) = inner.read("SELECT COUNT(*), SUM(state = 'ACTIVE') FROM epochs")
    assert (rows, on_air) == (MANY * RUN_SLOTS, MANY // 2)
    ((runs, late),) = inner.read(
        "SELECT COUNT(*), SUM(e.state != 'ACTIVE') FROM reports r"
        " JOIN epochs e ON e.channel = r.channel AND e.epoch = r.epoch"
    )
    assert (runs, late) == (MANY // 2, 0)
