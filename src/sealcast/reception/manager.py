"""Owns the reception manager: decisions, memory and database put together, in the caller's unit of work.

Calling order: `permit`, `hear`, `end` and `page` as asked, `tick` about every second, `save_all` at the end;
all in the writer's thread. Several managers may share one database: each notices what others wrote, and
believes no seat of its own before it has compared it.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.reception import store
from sealcast.reception.book import Book, Pair, Seat, seat_of
from sealcast.reception.service import (
    MISSED_MAX,
    End,
    Moment,
    Reception,
    Seen,
    begun,
    ended,
    is_repeat,
    may_begin_by_heartbeat,
)

SAVE_EVERY_NS = 5 * NS_PER_S
"""How long what was heard stands in memory alone: so much of `seen` a crash may cost."""

SAVED_AT_ONCE_MAX = 1_000
EXPIRED_AT_ONCE_MAX = 200
READ_AT_ONCE_MAX = 1_000
"""Seats in one unit of work: each a few milliseconds, so that no key request waits for them."""

STALLED_NS = 5 * NS_PER_S
"""Ticks that far apart: we stood still ourselves, and heard nobody."""


class ReceptionManager:
    """Keeps who receives what; at most one reception lives of a device and channel."""

    def __init__(self, heartbeat_ms: int) -> None:
        self.heartbeat_ms = heartbeat_ms
        self._book = Book()
        self._data_version: int | None = None
        self._looked_in: sa.RootTransaction | None = None
        self._read_behind: int | None = 0
        self._told: dict[Pair, None] = {}
        self._ticked_ns: int | None = None
        self._saved_ns = 0
        self._patient_until_ns = 0

    def permit(self, connection: sa.Connection, seen: Seen, moment: Moment) -> None:
        """Record that a permitted device asks for keys: its reception begins, or goes on."""
        seat, before = self._seat(connection, (seen.device, seen.channel), moment.now)
        if seat is None:
            self._begin(connection, seen, before, moment)
        else:
            self._book.hear(seat, seen, moment)

    def hear(self, connection: sa.Connection, seen: Seen, moment: Moment) -> bool:
        """Record a heartbeat; False if no reception lives of the device. Writes nothing to the database."""
        seat, _ = self._seat(connection, (seen.device, seen.channel), moment.now)
        if seat is None:
            return False
        self._book.hear(seat, seen, moment)
        return True

    def hear_again(self, connection: sa.Connection, seen: Seen, moment: Moment) -> bool:
        """Record a heartbeat of a permitted device, and begin a reception if that is what it means."""
        seat, before = self._seat(connection, (seen.device, seen.channel), moment.now)
        if seat is not None:
            self._book.hear(seat, seen, moment)
        elif may_begin_by_heartbeat(before, moment.wall_ms, self.heartbeat_ms, seen.age_ns // NS_PER_MS):
            self._begin(connection, seen, before, moment)
        else:
            return False
        return True

    def end(self, connection: sa.Connection, ends: Iterable[End], wall_ms: int) -> list[Reception]:
        """End receptions and return them; of a pair that ended for this reason lately, that one."""
        self._look(connection)
        found: list[Reception] = []
        for end in ends:
            live = store.live(connection, end.device, end.channel)
            over = [ended(self._as_heard(each), end, wall_ms) for each in live]
            store.end(connection, over)
            for each in over:
                self._book.drop((each.device, each.channel))
            found += over
            if not over and end.device is not None and end.channel is not None:
                last = store.last(connection, end.device, end.channel)
                found += [last] if last is not None and is_repeat(last, end, wall_ms) else []
        return found

    def page(self, connection: sa.Connection, wanted: store.Page) -> list[Reception]:
        """Return receptions, the newest first, with what was heard since it was stored."""
        self._look(connection)
        return [self._as_heard(each) for each in store.page(connection, wanted)]

    def tick(self, connection: sa.Connection, moment: Moment) -> int:
        """Read, store and expire, each a bounded number; return how many receptions expired."""
        self._look(connection)
        if self._ticked_ns is None or moment.now - self._ticked_ns > STALLED_NS:
            self._patient_until_ns = moment.now + self._silence_ns
        self._ticked_ns = moment.now
        self._read_some(connection, moment.now)
        if self._book.has_news and moment.now - self._saved_ns >= SAVE_EVERY_NS:
            self._save_some(connection, moment.now)
        return self._expire_some(connection, moment)

    def save_all(self, connection: sa.Connection) -> None:
        """Store all that was heard: before an orderly end."""
        while self._book.has_news:
            self._save_some(connection, 0)

    def on_undone(self) -> None:
        """Doubt everything: work in which seats changed was rolled back."""
        self._book.doubt(is_lost=True)
        self._read_behind = 0

    def tell(self, receptions: Iterable[Reception], now: int) -> None:
        """Hear what somebody else wrote over this very connection, in the unit of work that wrote it.

        New ones have no number yet: ticks read them, so that they are missed when nobody hears them any more.
        """
        for each in receptions:
            pair = each.device, each.channel
            if not each.number:
                self._book.doubt_of(pair)
                self._told[pair] = None
            elif each.is_live:
                self._take(each, now)
            else:
                self._book.drop_number(pair, each.number)

    @property
    def _silence_ns(self) -> int:
        return MISSED_MAX * self.heartbeat_ms * NS_PER_MS

    def _look(self, connection: sa.Connection) -> None:
        """Doubt the seats if somebody else wrote into the database since the last look (SQLite tells).

        PostgreSQL does not, and there nobody else writes: a master has the lease, a manager its own database.
        """
        if connection.dialect.name != "sqlite":
            return
        transaction = connection.get_transaction()
        if transaction is not None and transaction is self._looked_in:
            return  # Nobody else writes before it ends.
        self._looked_in = transaction
        driver = connection.connection.driver_connection
        version = driver.execute("PRAGMA data_version").fetchone()[0]  # type: ignore[union-attr]
        if version != self._data_version:
            if self._data_version is not None:
                self._book.doubt(is_lost=False)
                self._read_behind = 0
            self._data_version = version

    def _seat(self, connection: sa.Connection, pair: Pair, now: int) -> tuple[Seat | None, Reception | None]:
        """Return the seat of a pair, believed; or None, and its last reception as it ended."""
        self._look(connection)
        seat = self._book.get(pair)
        if seat is not None and seat.turn == self._book.turn:
            return seat, None
        last = store.last(connection, *pair)
        if last is not None and not last.is_live:
            # What a replica tells late of one that is over stands behind the one that lives.
            last = next(iter(store.live(connection, *pair)), last)
        if last is None or not last.is_live:
            self._book.drop(pair)
            return None, last
        return self._take(last, now), None

    def _take(self, reception: Reception, now: int) -> Seat:
        """Return the seat of a reception that was read as live."""
        seat = self._book.get((reception.device, reception.channel))
        if seat is None or seat.number != reception.number:
            seat = seat_of(reception, now, self._book.turn)
            self._book.drop(seat.pair)
            self._book.add(seat)
        elif seat.stored_ms != reception.seen_ms:
            # Another manager heard it since; when, only its own clock knows.
            seat.stored_ms = reception.seen_ms
            self._book.delay(seat, now)
        seat.turn = self._book.turn
        return seat

    def _begin(self, connection: sa.Connection, seen: Seen, before: Reception | None, moment: Moment) -> None:
        reception = begun(seen, before, moment.wall_ms)
        number = store.begin(connection, reception)
        self._book.add(seat_of(replace(reception, number=number), moment.now, self._book.turn))

    def _as_heard(self, reception: Reception) -> Reception:
        """Return a reception as it was read, with what is known in memory alone."""
        pair = reception.device, reception.channel
        seat = self._book.get(pair) if self._book.is_unsaved(pair) else None
        if seat is None or seat.number != reception.number or not reception.is_live:
            return reception
        # Twice as fast as `replace`, and lists do it ten thousand times.
        return Reception(
            reception.number,
            reception.device,
            reception.channel,
            reception.channel_name,
            reception.since_ms,
            seat.seen_ms,
            seat.first_epoch,
            seat.last_epoch,
            seat.packets,
        )

    def _read_some(self, connection: sa.Connection, now: int) -> None:
        """Take in the live receptions that the book does not have, a page at a time."""
        self._read_told(connection, now)
        if self._read_behind is None:
            return
        found = store.live_behind(connection, self._read_behind, READ_AT_ONCE_MAX)
        for each in found:
            self._take(each, now)
        self._read_behind = found[-1].number if len(found) == READ_AT_ONCE_MAX else None

    def _read_told(self, connection: sa.Connection, now: int) -> None:
        """Take in what we were told that somebody else wrote, a page at a time."""
        pairs = list(islice(self._told, READ_AT_ONCE_MAX))
        gone = dict.fromkeys(pairs)
        for each in store.live_among(connection, pairs):
            gone.pop(self._take(each, now).pair, None)
        for pair in pairs:
            del self._told[pair]
        for pair in gone:
            self._book.drop(pair)

    def _save_some(self, connection: sa.Connection, now: int) -> None:
        seats = self._book.unsaved(SAVED_AT_ONCE_MAX)
        store.save(connection, seats)
        for seat in seats:
            self._book.saved(seat)
        if not self._book.has_news:
            self._saved_ns = now

    def _expire_some(self, connection: sa.Connection, moment: Moment) -> int:
        """End receptions that were silent too long, unless another manager heard them."""
        if moment.now < self._patient_until_ns:
            return 0
        silent: list[Seat] = []
        for seat in self._book.silent(moment.now - self._silence_ns):
            if len(silent) >= EXPIRED_AT_ONCE_MAX:
                break
            silent.append(seat)
        over = []
        for seat in silent:
            found = store.find(connection, seat.number)
            if found is None or not found.is_live or (found.device, found.channel) != seat.pair:
                # Another's by now: work that was rolled back gives its number back.
                self._book.drop(seat.pair)
            elif found.seen_ms != seat.stored_ms:
                self._take(found, moment.now)
            else:
                end = End(seat.device, seat.channel, "timeout")
                over.append(ended(self._as_heard(found), end, moment.wall_ms))
                self._book.drop(seat.pair)
        store.end(connection, over)
        return len(over)
