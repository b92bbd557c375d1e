"""Owns the rollover counter of one received stream: what index a 16-bit SEQ stands for.

A ROC told by a grant or by SEAL is a *candidate*. While none is committed, or after a gap, the receiver
tries the candidate's ROC and its neighbours; a packet that verifies commits one. From then on RFC 3711
§3.3.1 gives the index, and the ROC survives key changes.
"""

from sealcast.core.ports import NS_PER_S
from sealcast.wire.rtp import SEQ_MODULUS

GAP_NS = 2 * NS_PER_S
"""After so long without a verified packet the committed ROC is a candidate again."""

CANDIDATES_MAX = 4
"""References remembered beside the committed one; each costs up to three trial decryptions a packet."""

INDEX_MAX = (1 << 48) - 1


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

    __slots__ = ("_candidates", "_highest", "_verified_ns")

    def __init__(self) -> None:
        self._highest = -1
        self._verified_ns: int | None = None
        self._candidates: list[int] = []

    @property
    def highest(self) -> int:
        """Highest verified index, -1 before the first."""
        return self._highest

    def add_candidate(self, roc: int, seq: int) -> None:
        """Note where a grant or SEAL says the counters stand; the newest is tried first."""
        reference = min(roc * SEQ_MODULUS + seq, INDEX_MAX)
        self._candidates = [reference, *(c for c in self._candidates if c != reference)][:CANDIDATES_MAX]

    def check(self, roc: int, seq: int) -> None:
        """Take a sender's signed word for its counters: far from ours, ours become doubtful.

        Packets of the same epoch replayed to a joiner verify, and would commit it to an old index.
        """
        if self._highest < 0 or abs(roc * SEQ_MODULUS + seq - self._highest) > SEQ_MODULUS // 2:
            self._verified_ns = None
            self.add_candidate(roc, seq)

    def is_committed(self, now: int) -> bool:
        """Whether the next packet's index is beyond doubt."""
        return self._verified_ns is not None and now - self._verified_ns < GAP_NS

    def guesses(self, seq: int, now: int) -> tuple[int, ...]:
        """Return the indices that a packet with this SEQ may have, best first, without repeats."""
        if self.is_committed(now):
            return (estimate_index(self._highest, seq),)
        references = [*self._candidates, *([self._highest] if self._highest >= 0 else [])]
        tries: dict[int, None] = {}
        for reference in references or [0]:
            near = estimate_index(reference, seq)
            for index in (near, near + SEQ_MODULUS, near - SEQ_MODULUS):
                if 0 <= index <= INDEX_MAX:
                    tries[index] = None
        return tuple(tries)

    def commit(self, index: int, now: int) -> None:
        """Record that a packet verified at `index`."""
        self._highest = max(self._highest, index)
        self._verified_ns = now
        if self._candidates:
            self._candidates = []
