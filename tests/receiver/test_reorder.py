"""The order of the output: nothing out of order, nothing twice, nobody waits longer than told."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sealcast.receiver.reorder import WAITING_MAX, ReorderBuffer
from simulation.parts import MS


def make(index: int) -> bytes:
    """Return the payload of an index."""
    return b"%d" % index


def test_in_order_nothing_waits() -> None:
    """Once the first packet is out, packets in order leave at once."""
    buffer = ReorderBuffer(20)
    buffer.push(7, make(7), 0)
    assert buffer.pop_ready(0) == []
    assert buffer.next_timeout() == 20 * MS
    assert buffer.pop_ready(20 * MS) == [b"7"]
    for index in range(8, 100):
        assert buffer.push(index, make(index), index * MS)
        assert buffer.pop_ready(index * MS) == [make(index)]
    assert buffer.next_timeout() is None
    assert buffer.gap == 0


def test_the_first_packets_may_be_out_of_order() -> None:
    """What comes within the wait after the first packet still leaves before it."""
    buffer = ReorderBuffer(20)
    for index, now in ((3, 0), (1, 5 * MS), (2, 19 * MS)):
        assert buffer.push(index, make(index), now)
    assert buffer.pop_ready(20 * MS) == [b"1", b"2", b"3"]


def test_every_gap_has_its_own_wait() -> None:
    """With many packets missing, none that is there waits longer than the wait: delays do not add up."""
    buffer = ReorderBuffer(20)
    arrived: dict[bytes, int] = {}
    for index in range(2_000):
        now = index * MS
        if index % 5:
            buffer.push(index, make(index), now)
            arrived[make(index)] = now
        for payload in buffer.pop_ready(now):
            assert now - arrived.pop(payload) <= 20 * MS
        assert len(buffer) <= 20
    assert len(arrived) <= 20


def test_a_late_packet_is_not_a_lost_one() -> None:
    """A packet that comes when its place has passed does not leave, and is taken off the gap again."""
    buffer = ReorderBuffer(20)
    for index in (1, 2, 4):
        buffer.push(index, make(index), 0)
    assert buffer.pop_ready(20 * MS) == [b"1", b"2", b"4"]
    assert buffer.gap == 1
    assert not buffer.push(3, make(3), 21 * MS)
    assert buffer.gap == 0
    assert not buffer.push(0, make(0), 21 * MS)
    assert buffer.gap == 0


def test_a_full_buffer_gives_up_what_is_missing() -> None:
    """However many packets come within the wait, no more than the limit stay."""
    buffer = ReorderBuffer(60_000)
    buffer.push(0, make(0), 0)
    buffer.pop_ready(60_000 * MS)
    for index in range(2, WAITING_MAX + 3):
        buffer.push(index, make(index), 60_000 * MS)
    assert len(buffer.pop_ready(60_000 * MS)) == WAITING_MAX + 1
    assert buffer.gap == 1


def test_drain_returns_the_rest_in_order() -> None:
    """At the end everything that waits leaves in order, and what is missing between counts."""
    buffer = ReorderBuffer(20)
    for index in (5, 9, 7):
        buffer.push(index, make(index), 0)
    assert buffer.drain() == [b"5", b"7", b"9"]
    assert (len(buffer), buffer.gap) == (0, 2)
    assert buffer.drain() == []


def test_without_wait_packets_leave_as_they_arrive() -> None:
    """With `reorder_ms` 0 the order of arrival is the order of the output, and gaps are still counted."""
    buffer = ReorderBuffer(0)
    outputs: list[bytes] = []
    gaps: list[int] = []
    for index in (4, 6, 5, 3, 9):
        assert buffer.push(index, make(index), 0)
        outputs += buffer.pop_ready(0)
        gaps.append(buffer.gap)
    assert outputs == [b"4", b"6", b"5", b"3", b"9"]
    assert gaps == [0, 1, 0, 0, 2]
    assert buffer.next_timeout() is None


@dataclass
class Model:
    """What the buffer should do, said in the plainest way: look at everything each time."""

    wait_ns: int
    waiting: dict[int, int] = field(default_factory=dict)
    next: int | None = None
    first: int = 0
    missing: set[int] = field(default_factory=set)

    def push(self, index: int, now: int) -> bool:
        """Return whether the packet's place is still ahead."""
        if self.next is not None and index < self.next:
            self.missing.discard(index)
            return False
        self.waiting[index] = now
        return True

    def pop(self, now: int) -> list[int]:
        """Release in order: what follows on, and what is not ahead of a packet that has waited enough."""
        due = [index for index, arrived in self.waiting.items() if arrived + self.wait_ns <= now]
        released: list[int] = []
        while self.waiting:
            lowest = min(self.waiting)
            if lowest != self.next and not any(lowest <= index for index in due):
                break
            if self.next is not None:
                self.missing |= set(range(self.next, lowest))
            del self.waiting[lowest]
            released.append(lowest)
            self.next = lowest + 1
        return released


ARRIVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=60)


@given(arrivals=ARRIVALS, wait_ms=st.integers(1, 30))
def test_against_a_model(arrivals: list[tuple[int, int]], wait_ms: int) -> None:
    """For any arrivals the buffer releases what the model releases, when the model does."""
    buffer, model = ReorderBuffer(wait_ms), Model(wait_ms * MS)
    now, released, seen = 0, [], set()
    for index, step_ms in arrivals:
        now += step_ms * MS
        if index in seen:
            continue
        seen.add(index)
        expected = [make(i) for i in model.pop(now)]
        assert buffer.pop_ready(now) == expected
        released += expected
        assert buffer.push(index, make(index), now) == model.push(index, now)
        expected = [make(i) for i in model.pop(now)]
        assert buffer.pop_ready(now) == expected
        released += expected
        assert buffer.gap == len(model.missing)
        due_ns = buffer.next_timeout()
        assert (due_ns is None) == (not model.waiting)
        assert due_ns is None or due_ns == min(model.waiting.values()) + wait_ms * MS
    released += buffer.drain()
    assert [int(each) for each in released] == sorted({int(each) for each in released})


@given(arrivals=st.lists(st.integers(0, 40), max_size=60, unique=True))
def test_without_wait_nothing_is_held_or_lost(arrivals: list[int]) -> None:
    """With `reorder_ms` 0 each packet leaves at once; the gap is what is missing behind the first."""
    buffer = ReorderBuffer(0)
    for count, index in enumerate(arrivals, 1):
        assert buffer.push(index, make(index), 0)
        assert buffer.pop_ready(0) == [make(index)]
        seen = {i for i in arrivals[:count] if i >= arrivals[0]}
        assert buffer.gap == max(seen) - arrivals[0] + 1 - len(seen)
