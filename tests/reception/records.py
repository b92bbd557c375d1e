"""Owns a reception manager for tests: a database, two clocks, and what records must always be."""

from pathlib import Path

import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.reception import tables
from sealcast.reception.manager import ReceptionManager
from sealcast.reception.service import End, Moment, Reception, Seen
from sealcast.reception.store import Page
from sealcast.storage.engine import open_engine
from sealcast.testing import SimClock

HEARTBEAT_MS = 10_000
HISTORY = Page(limit=100_000, history=True)


def open_records(path: Path) -> sa.Engine:
    """Return a database with the table of receptions alone."""
    engine = open_engine(path)
    # What the disk keeps when the power fails is shown elsewhere; here it only costs time.
    sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
    engine.dispose()
    tables.receptions.create(engine, checkfirst=True)
    return engine


class Side:
    """One reception manager over a database that it may share, each call a transaction of its own."""

    def __init__(self, engine: sa.Engine, clock: SimClock) -> None:
        self.engine, self.clock = engine, clock
        self.connection = engine.connect()
        self.manager = ReceptionManager(HEARTBEAT_MS)

    def restart(self) -> None:
        """Lose the memory, as a crash does."""
        self.connection.close()
        self.connection = self.engine.connect()
        self.manager = ReceptionManager(HEARTBEAT_MS)

    def moment(self) -> Moment:
        """Return now."""
        return Moment(self.clock.monotonic_ns(), self.clock.wall_ns() // NS_PER_MS)

    def permit(self, device: str, channel: int, *epochs: int) -> None:
        """Ask for keys."""
        with self.connection.begin():
            self.manager.permit(self.connection, Seen(device, channel, "news", epochs), self.moment())

    def heartbeat(self, device: str, channel: int, packets: int = 0, *, age_s: int = 0) -> bool:
        """Say that a subscribed device receives; return whether a reception lives then."""
        seen = Seen(device, channel, "news", (), packets, age_s * NS_PER_S)
        with self.connection.begin():
            return self.manager.hear(self.connection, seen, self.moment()) or self.manager.hear_again(
                self.connection, seen, self.moment()
            )

    def end(self, end: End) -> list[Reception]:
        """End receptions."""
        with self.connection.begin():
            return self.manager.end(self.connection, [end], self.moment().wall_ms)

    def tick(self) -> int:
        """Do what is due; return how many receptions expired."""
        with self.connection.begin():
            return self.manager.tick(self.connection, self.moment())

    def pass_time(self, seconds: int) -> None:
        """Let time pass, with a tick every second."""
        for _ in range(seconds):
            self.clock.advance(NS_PER_S)
            self.tick()

    def history(self) -> list[Reception]:
        """Return all receptions, the newest first."""
        with self.connection.begin():
            return self.manager.page(self.connection, HISTORY)

    def live(self) -> set[tuple[str, int]]:
        """Return who receives what now."""
        return {(each.device, each.channel) for each in self.history() if each.is_live}


def check_records(history: list[Reception]) -> None:
    """Assert that at most one lives of a pair, the newest, and that none begins before the last one ended."""
    last: dict[tuple[str, int], Reception] = {}
    for each in sorted(history, key=lambda one: one.number):
        before = last.get((each.device, each.channel))
        if before is not None:
            assert before.ended_at_ms is not None, (before, each)
            assert before.ended_at_ms <= each.since_ms, (before, each)
        assert each.ended_at_ms is None or each.since_ms <= each.ended_at_ms, each
        assert (each.ended_at_ms is None) == (each.reason is None), each
        last[each.device, each.channel] = each
