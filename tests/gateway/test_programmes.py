"""Shows how programmes follow one another, with files that are missing and keys that cannot be had."""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from sealcast.core.ports import NS_PER_MS
from sealcast.gateway import programmes
from sealcast.gateway.programme import Agenda, Programme
from sealcast.gateway.programmes import Playbill, Programmes, Shown
from sealcast.transport.system import SystemClock

CLOCK = SystemClock()
GAP_MS = 300


class Stage:
    """A run as its source sees it: the key can be changed, or cannot."""

    def __init__(self, *, has_key: bool = True) -> None:
        self.has_sent, self.has_key, self.epoch = False, has_key, 1
        self.expected: list[int] = []
        self.gave_up = False

    def stream_ns(self) -> int:
        """Return the time on the stream's clock."""
        return CLOCK.monotonic_ns()

    async def drain(self) -> None:
        """Return at once: nothing waits."""

    def use_lifetime(self, lifetime_ms: int) -> None:
        """Note nothing."""

    def expect_change(self, at_ns: int, lifetime_ms: int | None) -> None:
        """Note for when a key is wanted."""
        _ = lifetime_ms
        self.expected.append(at_ns)

    def change_now(self) -> bool:
        """Change the key, if there is one."""
        self.epoch += self.has_key
        return self.has_key

    def give_up_change(self) -> None:
        """Note it."""
        self.gave_up = True


def programme(folder: Path, name: str, after_ms: int, **fields: object) -> Programme:
    """Return a programme that starts so long from now; `missing` has no file."""
    if name != "missing":
        (folder / name).write_bytes(name.encode() * 1_000)
    now_ms = CLOCK.wall_ns() // NS_PER_MS
    start = dt.datetime.fromtimestamp((now_ms + after_ms) / 1_000, dt.UTC)
    values = {"where": name, "channel": "news", "zone": dt.UTC, "once": start, "rate": "10M", **fields}
    return Programme(content=str(folder / name), **values)


def play(stage: Stage, *rows: Programme, stay_ms: int = 60_000) -> tuple[list[bytes], list[Shown], Playbill]:
    """Send programmes on a stage; return what was sent, and what became of each."""

    async def story() -> list[bytes]:
        source = Programmes(bill, CLOCK, stay_ms=stay_ms)
        source.take_stage(stage)
        await source.start()
        sent: list[bytes] = []
        async for run in source:
            stage.has_sent = True
            sent += [bytes(part) for part in run.payloads]
        source.close()
        return sent

    bill = Playbill(Agenda(rows), CLOCK)
    return asyncio.run(story()), list(bill.shown), bill


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a programme wait for its key a fifth of a second."""
    monkeypatch.setattr(programmes, "HOLD_MS", 200)


def names(sent: list[bytes]) -> list[str]:
    """Return the contents in the order in which they began."""
    found = [data[:3].decode() for data in sent if data[:3] in {b"one", b"two", b"six"}]
    return list(dict.fromkeys(found))


def test_one_follows_the_other_under_another_key(tmp_path: Path) -> None:
    """The key of the second is wanted for its start as soon as the first begins; all of both is sent."""
    stage = Stage()
    rows = programme(tmp_path, "one", 0), programme(tmp_path, "two", GAP_MS)
    sent, shown, bill = play(stage, *rows)
    assert b"".join(sent) == (tmp_path / "one").read_bytes() + (tmp_path / "two").read_bytes()
    assert [each.epoch for each in shown] == [1, 2]
    assert len(stage.expected) == 1
    assert bill.first() is None


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    """The next one follows, and the summary says why."""
    rows = (
        programme(tmp_path, "one", 0),
        programme(tmp_path, "missing", 150),
        programme(tmp_path, "two", GAP_MS),
    )
    sent, shown, _ = play(Stage(), *rows)
    assert names(sent) == ["one", "two"]
    assert [each.why_not is None for each in sorted(shown, key=lambda each: each.start_ms)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(("change", "epoch"), [("at-start", 1), ("keep", 1)])
def test_without_a_key_it_begins_under_the_one_on_air(tmp_path: Path, change: str, epoch: int) -> None:
    """At once where it keeps the key, after a while where it cannot have its own."""
    stage = Stage(has_key=False)
    rows = programme(tmp_path, "one", 0), programme(tmp_path, "two", GAP_MS, change=change)
    sent, shown, _ = play(stage, *rows)
    assert names(sent) == ["one", "two"]
    assert shown[-1].epoch == epoch
    assert stage.gave_up == (change == "at-start")


def test_one_that_holds_out_for_its_key_is_left_out_at_its_end(tmp_path: Path) -> None:
    """Not a packet of it goes under the key of another."""
    held = programme(tmp_path, "two", GAP_MS, without_key="hold", duration_ms=400)
    sent, shown, _ = play(Stage(has_key=False), programme(tmp_path, "one", 0), held)
    assert names(sent) == ["one"]
    assert shown[-1].why_not == "its key could not be had in time"


def test_a_long_gap_ends_the_run(tmp_path: Path) -> None:
    """What comes later is another run's, and what was sent is not sent again."""
    rows = programme(tmp_path, "one", 0), programme(tmp_path, "two", 2_000)
    sent, _, bill = play(Stage(), *rows, stay_ms=500)
    assert names(sent) == ["one"]
    first = bill.first()
    assert first is not None
    assert first.programme.where == "two"


def test_a_clock_that_is_set_is_gone_with(tmp_path: Path) -> None:
    """An hour ahead it is not time; set right, it is."""
    shift: list[int] = [-3_600 * 10**9]
    wall: Callable[[], int] = SystemClock().wall_ns
    rows = (programme(tmp_path, "one", 0),)

    class Shifted(SystemClock):
        def wall_ns(self) -> int:
            return wall() + shift[0]

    async def story() -> int:
        clock = Shifted()
        source = Programmes(Playbill(Agenda(rows), clock), clock, stay_ms=1_000)
        starting = asyncio.ensure_future(source.start())
        await asyncio.sleep(0.2)
        assert not starting.done()
        shift[0] = 0
        await asyncio.wait_for(starting, 5)
        return 1

    assert asyncio.run(story())
