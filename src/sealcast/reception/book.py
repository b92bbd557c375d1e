"""Owns the live receptions in memory: who was heard when, and what the database does not know yet.

The writer's thread alone uses it. It is kept in the order in which receivers were heard: the silent
ones stand in front.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from sealcast.core.ports import NS_PER_MS
from sealcast.reception.service import Moment, Reception, Seen, spanned

Pair = tuple[str, int]
"""Device and channel."""


@dataclass(slots=True)
class Seat:
    """A live reception: about 300 bytes. `seen_ns` is monotonic; `stored_ms` is `seen_ms` as last stored."""

    number: int
    device: str
    channel: int
    seen_ms: int
    stored_ms: int
    seen_ns: int
    first_epoch: int | None
    last_epoch: int | None
    packets: int
    turn: int

    @property
    def pair(self) -> Pair:
        """Device and channel."""
        return self.device, self.channel


def seat_of(reception: Reception, now: int, turn: int) -> Seat:
    """Return the seat of a reception that was read: from now on it has all its time to be heard."""
    return Seat(
        number=reception.number,
        device=reception.device,
        channel=reception.channel,
        seen_ms=reception.seen_ms,
        stored_ms=reception.seen_ms,
        seen_ns=now,
        first_epoch=reception.first_epoch,
        last_epoch=reception.last_epoch,
        packets=reception.packets,
        turn=turn,
    )


class Book:
    """Seats by device and channel. A seat of an older `turn` is to be compared with the database first."""

    def __init__(self) -> None:
        self._seats: OrderedDict[Pair, Seat] = OrderedDict()
        self._unsaved: dict[Pair, None] = {}
        self.turn = 0

    def __len__(self) -> int:
        return len(self._seats)

    def get(self, pair: Pair) -> Seat | None:
        """Return the seat of a device and channel."""
        return self._seats.get(pair)

    def add(self, seat: Seat) -> None:
        """Take in a seat, as the one heard last."""
        self._seats[seat.pair] = seat
        self._seats.move_to_end(seat.pair)

    def drop(self, pair: Pair) -> None:
        """Forget a seat, and what was not stored of it."""
        self._seats.pop(pair, None)
        self._unsaved.pop(pair, None)

    def drop_number(self, pair: Pair, number: int) -> None:
        """Forget the seat of a reception, unless another one of the pair has it."""
        seat = self._seats.get(pair)
        if seat is not None and seat.number == number:
            self.drop(pair)

    def hear(self, seat: Seat, seen: Seen, moment: Moment) -> None:
        """Note that a receiver was heard; costs about a microsecond."""
        heard_ns = moment.now - seen.age_ns
        if heard_ns >= seat.seen_ns:
            seat.seen_ns, seat.seen_ms = heard_ns, moment.wall_ms - seen.age_ns // NS_PER_MS
            seat.packets = seat.packets if seen.packets is None else seen.packets
        if seen.epochs:
            seat.first_epoch, seat.last_epoch = spanned(seat.first_epoch, seat.last_epoch, *seen.epochs)
        self._seats.move_to_end(seat.pair)
        self._unsaved[seat.pair] = None

    def delay(self, seat: Seat, now: int) -> None:
        """Give a seat all its time again."""
        seat.seen_ns = now
        self._seats.move_to_end(seat.pair)

    def silent(self, before_ns: int) -> Iterator[Seat]:
        """Yield the seats that were not heard since `before_ns`, the longest silent first."""
        for seat in self._seats.values():
            if seat.seen_ns >= before_ns:
                return
            yield seat

    def unsaved(self, count: int) -> list[Seat]:
        """Return at most `count` seats that have news for the database."""
        found: list[Seat] = []
        for pair in self._unsaved:
            if len(found) >= count:
                break
            found.append(self._seats[pair])
        return found

    def saved(self, seat: Seat) -> None:
        """Note that a seat is stored as it is."""
        self._unsaved.pop(seat.pair, None)
        seat.stored_ms = seat.seen_ms

    def is_unsaved(self, pair: Pair) -> bool:
        """Whether the database does not know the last of a seat."""
        return pair in self._unsaved

    @property
    def has_news(self) -> bool:
        """Whether there is something to store."""
        return bool(self._unsaved)

    def doubt_of(self, pair: Pair) -> None:
        """Do not believe one seat unseen from now on."""
        seat = self._seats.get(pair)
        if seat is not None:
            seat.turn = -1

    def doubt(self, *, is_lost: bool) -> None:
        """Believe no seat unseen from now on; `is_lost`: what was stored may not be."""
        self.turn += 1
        if is_lost:
            self._unsaved = dict.fromkeys(self._seats)
