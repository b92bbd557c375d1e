"""Owns the rollover counter of one received stream: what index a 16-bit SEQ stands for.

A ROC told by a grant or by SEAL is a *candidate*. While none is committed, or after a gap, the receiver
tries the candidate's ROC and its neighbours; a packet that verifies commits one. From then on RFC 3711
§3.3.1 gives the index, and the ROC survives key changes.

What the sender signed bounds it all: no index far from the counters in its last SEAL packet is tried, so that
neither packets of long ago nor those of a subscriber who forges lead the counter away.
"""

from collections import deque

from sealcast.core.ports import NS_PER_S
from sealcast.wire.rtp import SEQ_MODULUS

GAP_NS = 2 * NS_PER_S
"""After so long without a verified packet the committed ROC is a candidate again."""

CANDIDATES_MAX = 4
"""References remembered beside the committed one; each costs up to three trial decryptions a packet."""

LATE_NS = 2 * NS_PER_S
"""A packet may wait so long in networks and sockets: what the sender said by then still bounds it from below.
At 2 Gbit/s these are 380,000 packets, at 8 Mbit/s 1,500."""

SAYINGS_NS = NS_PER_S // 10
"""How close in time the remembered words of a sender are; so there are 22 at most."""

TURNS_MAX = 8
"""How many turns of SEQ beyond the nearest index are tried, where the signed counters allow it: 2.7 s at
2 Gbit/s."""

INDEX_MAX = (1 << 48) - 1

AHEAD_PACKETS = 16_384
"""What a sender sends between three SEAL packets at most: the stream may be ahead of the last so far."""

AHEAD_NS_PER_PACKET = 1 << 14
"""Without SEAL packets the bound moves on at 61,000 packets a second, 640 Mbit/s."""

BEHIND_PACKETS = SEQ_MODULUS // 2
"""A packet further behind the signed counters is no late one: it is played again."""

VOUCHED_NS = 10 * NS_PER_S
"""SEAL packets come every 5 s at least; one this recent says that control is heard."""


def estimate_index(reference: int, seq: int) -> int:
    """Return the index nearest to `reference` that has this SEQ (RFC 3711 §3.3.1, Appendix A)."""
    base = reference - reference % SEQ_MODULUS + seq
    if base - reference > SEQ_MODULUS // 2:
        base -= SEQ_MODULUS
    elif reference - base > SEQ_MODULUS // 2:
        base += SEQ_MODULUS
    return base if base >= 0 else base + SEQ_MODULUS


class RolloverCounter:
    """Follows the highest verified index of one SSRC."""

    __slots__ = ("_candidates", "_highest", "_sayings", "_told", "_told_ns", "_verified_ns")

    def __init__(self) -> None:
        self._highest = -1
        self._verified_ns: int | None = None
        self._candidates: list[int] = []
        self._told = 0
        self._told_ns: int | None = None
        self._sayings: deque[tuple[int, int]] = deque()

    @property
    def highest(self) -> int:
        """Highest verified index, -1 before the first."""
        return self._highest

    def add_candidate(self, roc: int, seq: int) -> None:
        """Note where a grant or SEAL says the counters stand; the newest is tried first."""
        reference = min(roc * SEQ_MODULUS + seq, INDEX_MAX)
        self._candidates = [reference, *(c for c in self._candidates if c != reference)][:CANDIDATES_MAX]

    def check(self, roc: int, seq: int, now: int) -> None:
        """Take a sender's signed word for its counters: far from ours, ours become doubtful.

        Packets of the same epoch replayed to a joiner verify, and would commit it to an old index.
        """
        self._told, self._told_ns = roc * SEQ_MODULUS + seq, now
        self._remember(self._told, now)
        lowest, _ = self._bounds(now)
        if not lowest <= self._highest <= self._told + SEQ_MODULUS // 2 or self._highest < 0:
            self._verified_ns = None
            self.add_candidate(roc, seq)

    def _remember(self, told: int, now: int) -> None:
        """Keep what was said `LATE_NS` ago, or before that, and some of what came after."""
        sayings = self._sayings
        if not sayings or now - sayings[-1][1] >= SAYINGS_NS:
            sayings.append((told, now))
        while len(sayings) > 1 and now - sayings[1][1] >= LATE_NS:
            sayings.popleft()

    @property
    def heard_ns(self) -> int:
        """When a packet verified, or the sender's word came, last; -1 before the first."""
        told_ns = -1 if self._told_ns is None else self._told_ns
        return told_ns if self._verified_ns is None else max(told_ns, self._verified_ns)

    def is_vouched(self, now: int) -> bool:
        """Whether a SEAL packet told the counters not long ago."""
        return self._told_ns is not None and now - self._told_ns < VOUCHED_NS

    def is_committed(self, now: int) -> bool:
        """Whether the next packet's index is beyond doubt."""
        return self._verified_ns is not None and now - self._verified_ns < GAP_NS

    def guesses(self, seq: int, now: int) -> tuple[int, ...]:
        """Return the indices that a packet with this SEQ may have, best first; none if it is not of now."""
        first, last = self._bounds(now)
        if self.is_committed(now):
            nearest = estimate_index(self._highest, seq)
            # Further on only where the sender says that it is: more than half a turn was lost at once.
            farthest = min(last, nearest + (TURNS_MAX * SEQ_MODULUS if self._told_ns is not None else 0))
            return tuple(index for index in range(nearest, farthest + 1, SEQ_MODULUS) if index >= first)
        references = [*self._candidates, *([self._highest] if self._highest >= 0 else [])]
        tries: dict[int, None] = {}
        for reference in references or [0]:
            near = estimate_index(reference, seq)
            for index in (near, near + SEQ_MODULUS, near - SEQ_MODULUS):
                if first <= index <= last:
                    tries[index] = None
        return tuple(tries)

    def unproven(self, seq: int, now: int, last: int) -> int | None:
        """Return the index of a packet that nothing proves; None if the sender signed nothing like it.

        It is nearest to what was signed last, or to the packet before (`last`) if that is further: order
        holds while no SEAL packet is heard, as long as the bounds do.
        """
        if self._told_ns is None:
            return None
        first, farthest = self._bounds(now)
        index = estimate_index(max(self._told, last), seq)
        return index if first <= index <= farthest else None

    def commit(self, index: int, now: int) -> None:
        """Record that a packet verified at `index`. A counter in doubt goes back to it as well."""
        if index > self._highest or not self.is_committed(now):
            self._highest = index
        self._verified_ns = now
        if self._candidates:
            self._candidates = []

    def keep(self, now: int) -> None:
        """Record that a packet verified where a committed counter expects it, which moves it nowhere.

        A receiver that is behind takes the last packets of a key after the next was announced.
        """
        if self.is_committed(now):
            self._verified_ns = now

    def _bounds(self, now: int) -> tuple[int, int]:
        """Return the lowest and the highest index that the sender can have sent of late."""
        if self._told_ns is None:
            return 0, INDEX_MAX
        ahead = AHEAD_PACKETS + (now - self._told_ns) // AHEAD_NS_PER_PACKET
        earlier = min(self._told, self._sayings[0][0])
        return max(0, earlier - BEHIND_PACKETS), min(INDEX_MAX, self._told + ahead)
