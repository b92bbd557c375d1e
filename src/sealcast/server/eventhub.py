"""Owns who listens: streams by party and by channel, whom an event reaches, and whose turn it is.

It knows no sockets: a stream is anything that takes bytes. Turns come round like the hand of a clock, so that
pings and checks of thousands of streams never fall into one moment.
"""

from collections.abc import Iterable
from typing import Protocol

from sealcast.core.ports import NS_PER_MS
from sealcast.messages.encoding import encode
from sealcast.messages.subscribing import Event
from sealcast.server.eventlink import Opened, Tell

STREAMS_PER_PARTY = 16
"""As many as a client of ours opens, for 64 channels each; one more takes the place of the oldest."""

TURNS = 150
TURN_S = 0.1
"""A stream has its turn, a ping, every 15 s: less than the shortest memory of common NATs, 30 s."""

CHECK_ROUNDS = 4
"""At every fourth turn, once a minute, it is asked whether the party may still listen."""

ROLE_OF = {"key-change": "device", "fence": "sender"}
"""Whom an event on a channel concerns; the others are for one party."""


class Stream(Protocol):
    """A stream that is open."""

    opened: Opened
    rounds: int

    def send(self, data: bytes) -> None:
        """Take bytes for the party, at once or later."""
        ...


class Hub:
    """Every open stream."""

    def __init__(self) -> None:
        self._parties: dict[str, dict[Stream, int]] = {}
        self._channels: dict[tuple[int, str], dict[Stream, None]] = {}
        self._turns: list[dict[Stream, None]] = [{} for _ in range(TURNS)]
        self._turn = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, stream: Stream) -> Stream | None:
        """Take in a stream; return the oldest of its party if it has too many now, to be removed."""
        own = self._parties.setdefault(stream.opened.party, {})
        own[stream] = self._turn
        self._turns[self._turn][stream] = None
        self._count += 1
        for channel in stream.opened.channels:
            self._channels.setdefault((channel, stream.opened.role), {})[stream] = None
        return next(iter(own)) if len(own) > STREAMS_PER_PARTY else None

    def remove(self, stream: Stream) -> None:
        """Drop a stream that has ended; one that is not here is none."""
        own = self._parties.get(stream.opened.party, {})
        turn = own.pop(stream, None)
        if turn is None:
            return
        self._turns[turn].pop(stream, None)
        self._count -= 1
        self._leave(stream, stream.opened.channels)
        if not own:
            del self._parties[stream.opened.party]

    def narrow(self, stream: Stream, channels: Iterable[int]) -> list[int]:
        """Have a stream hear of these channels only; return those that it hears of no more."""
        kept = set(channels)
        opened = stream.opened
        if opened.party not in self._parties or stream not in self._parties[opened.party]:
            return []
        gone = [channel for channel in opened.channels if channel not in kept]
        self._leave(stream, gone)
        stream.opened = Opened(opened.party, opened.role, [c for c in opened.channels if c in kept])
        return gone

    def of_party(self, party: str) -> list[Stream]:
        """Return the streams of a party."""
        return list(self._parties.get(party, ()))

    def concerned(self, tell: Tell) -> list[Stream]:
        """Return the streams that an event is for."""
        if tell.party is not None:
            own = self._parties.get(tell.party, ())
            return [stream for stream in own if tell.event.channel in stream.opened.channels]
        role = ROLE_OF.get(tell.event.kind, "device")
        return list(self._channels.get((tell.event.channel, role), ()))

    def next_turn(self) -> list[Stream]:
        """Return the streams whose turn it is."""
        self._turn = (self._turn + 1) % TURNS
        return list(self._turns[self._turn])

    def _leave(self, stream: Stream, channels: Iterable[int]) -> None:
        for channel in channels:
            place = channel, stream.opened.role
            listening = self._channels.get(place, {})
            listening.pop(stream, None)
            if not listening:
                self._channels.pop(place, None)


def event_bytes(event: Event) -> bytes:
    """Return an event as a stream carries it."""
    return b"data: " + encode(event) + b"\n\n"


def as_of(tell: Tell, now: int) -> Event:
    """Return an event with its window as it stands at `now` (monotonic ns)."""
    event = tell.event
    if not event.closes_in_ms:
        return event
    age_ms = max(0, now - tell.told_ns) // NS_PER_MS
    return Event(
        kind=event.kind,
        channel=event.channel,
        key_id=event.key_id,
        opens_in_ms=max(0, event.opens_in_ms - age_ms),
        closes_in_ms=max(0, event.closes_in_ms - age_ms),
    )
