"""Owns what a pushed event makes a receiver do: at most one question, in the window that the event names.

An event is a hint (S3-4). It moves no key; what follows is a key request like any other, permitted anew. The
notice in SEAL packets leads to the same question: whichever of the two comes first draws the instant.
"""

from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_S
from sealcast.keys.policy import SPREAD_MS_MAX
from sealcast.messages.subscribing import Event
from sealcast.receiver.fetch import FetchPlanner
from sealcast.receiver.keyring import KeyRing

EVENTS_AT_ONCE = 4
"""A key change, a removal that overtakes it, and as many again: what one moment may bring."""

ENDED_NS = 10 * NS_PER_S
"""A second word of an end within this is the same one, and the question is asked already."""

EVENT_NS = 2 * NS_PER_S
"""Beyond those, so often one event is looked at; what is missed then, SEAL packets tell."""

WINDOW_MS_MAX = 24 * 3_600_000
"""No window opens later: a key's lifetime is at most a day."""


class Notices:
    """Takes the events of one channel; `taken` counts those that led to a question."""

    __slots__ = ("_allowed", "_counted_ns", "_ended_ns", "_fetch", "_ring", "_told", "taken")

    def __init__(self, ring: KeyRing, fetch: FetchPlanner) -> None:
        self._ring = ring
        self._fetch = fetch
        self._allowed = EVENTS_AT_ONCE
        self._counted_ns: int | None = None
        self._ended_ns: int | None = None
        self._told: KeyId | None = None
        self.taken = 0

    def handle(self, event: Event, now: int) -> bool:
        """Take an event; return whether there is something new to ask for.

        Unknown kinds, key IDs of another channel, held, past or told before, and events that come too often
        change nothing.
        """
        current = self._ring.current
        if current is None or event.channel != current.channel or not self._may_look(now):
            return False
        is_news = False
        if event.kind == "key-change":
            is_news = self._take_change(event, current, now)
        elif event.kind == "ended":
            is_news = self._take_end(event, now)
        self.taken += is_news
        return is_news

    def _take_change(self, event: Event, current: KeyId, now: int) -> bool:
        try:
            key_id = KeyId.parse(event.key_id)
        except FormatError:
            return False
        is_told = self._told is not None and key_id <= self._told
        if key_id.channel != current.channel or key_id <= current or is_told or self._ring.holds_next(key_id):
            return False
        self._told = key_id
        opens_in_ms = min(max(0, event.opens_in_ms), WINDOW_MS_MAX)
        closes_in_ms = min(max(opens_in_ms, event.closes_in_ms), WINDOW_MS_MAX)
        self._fetch.want_next(current, opens_in_ms, closes_in_ms, now, announced=key_id)
        return True

    def _take_end(self, event: Event, now: int) -> bool:
        if self._ended_ns is not None and now - self._ended_ns < ENDED_NS:
            return False
        self._ended_ns = now
        spread_ms = min(max(0, event.closes_in_ms), SPREAD_MS_MAX)
        self._fetch.want_why(now, spread_ms)
        return True

    def _may_look(self, now: int) -> bool:
        if self._counted_ns is None:
            self._counted_ns = now
        fresh = (now - self._counted_ns) // EVENT_NS
        self._allowed = min(EVENTS_AT_ONCE, self._allowed + fresh)
        self._counted_ns += fresh * EVENT_NS
        if self._allowed == 0:
            return False
        self._allowed -= 1
        return True
