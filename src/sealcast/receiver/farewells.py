"""Owns when a stream is over: its senders said BYE, and no other run of the channel goes on (S1-7).

Of two runs that are on air at once, one may end without the other. A run counts as going on if it was heard
since the BYE or just before it, or its own word was of the same or a later key; one that crashed before that
is not waited for.
"""

from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.receiver.streams import Stream, Streams
from sealcast.wire.seal import Seal

AFTER_BYE_NS = 500 * NS_PER_MS
"""How long the last packets may still come after the BYE."""

LIVES_NS = 6_000 * NS_PER_MS
"""A run says something every 5 s at least: what is silent for longer has ended, or cannot be heard."""

RECENT_NS = 1_000 * NS_PER_MS
"""Right after a key change a run may not have told yet that it goes along: heard so lately, it goes on."""


class Farewells:
    """The BYEs of one channel's runs."""

    __slots__ = ("_byes", "_key_id", "_last", "_streams")

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._byes: dict[int, int] = {}
        self._last: tuple[int, int, int] | None = None
        self._key_id: KeyId | None = None

    def note(self, seal: Seal, now: int) -> None:
        """Take a verified SEAL packet; a BYE is repeated, and counts once."""
        self._streams.vouch(seal.ssrc).told = seal.current
        if seal.bye and seal.ssrc not in self._byes:
            self._byes[seal.ssrc] = now
            self._last = seal.ssrc, seal.roc << 16 | seal.seq, now
            self._key_id = seal.current

    def is_over(self, now: int, *, has_waiting: bool) -> bool:
        """Whether the last run said BYE and its last packet left, or can no longer be expected."""
        if self._last is None or any(now < until_ns for until_ns in self._others_ns()):
            return False
        ssrc, index, since_ns = self._last
        stream = self._streams.get(ssrc)
        if now - since_ns >= AFTER_BYE_NS:
            return True
        if stream is None or stream.counter.highest < index:
            return False
        # What the last packet overtook may still come while that one waits for its turn.
        return not has_waiting and not len(stream.reorder)

    def next_timeout(self) -> int | None:
        """Return when `is_over` may say so, in monotonic ns, if nothing more is heard."""
        return None if self._last is None else max(self._last[2] + AFTER_BYE_NS, *self._others_ns(), 0)

    def _others_ns(self) -> list[int]:
        """Return until when each run that goes on is waited for."""
        return [
            stream.heard_ns + LIVES_NS
            for ssrc, stream in self._streams.items()
            if ssrc not in self._byes and self._goes_on(stream)
        ]

    def _goes_on(self, stream: Stream) -> bool:
        if self._last is None or self._key_id is None or stream.heard_ns < 0:
            return False
        is_later = stream.told is not None and stream.told >= self._key_id
        return is_later or stream.heard_ns > self._last[2] - RECENT_NS
