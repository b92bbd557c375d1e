"""Owns which pattern a scrambled payload of MPEG-TS has that does not say so: its sync bytes decide (S1-15).

```
sender's word: key, number, both remaining times ──► what should be in use now ──► 0x47 each 188 bytes?
                                                     else the last that fitted, the next, those around
```
Which are tried is bounded by what the sender signed and the time since, never by packets. One sync byte fits
a wrong pattern once in 256 times, seven of them never. But seven steps of 188 bytes meet 32 bits of a pattern
of 128, and 8 of one of 32: of two of these one in 256 is alike there. Then the PIDs seen before decide.
"""

from collections.abc import Collection, Iterator

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.receiver.descrambling import HeldPatterns
from sealcast.receiver.keyring import KeyRing
from sealcast.wire.cycles import Cycle
from sealcast.wire.patterns import Rule
from sealcast.wire.scramble import scramble_payload
from sealcast.wire.seal import Seal

TS_PACKET_BYTES = 188
SYNC_BYTE = 0x47

LATE_NS = 5 * NS_PER_S
"""A packet is descrambled this late: as long as packets wait for their key (`pending`)."""

MET_BITS_MIN = 32
"""Sync bytes that meet fewer bits of a pattern may be those of another one."""

STEPS = 7
"""TS packets in a full datagram."""

PIDS_MAX = 64
"""PIDs remembered; a programme has some ten."""

PatternPlace = tuple[KeyId, int]
"""A key ID and a pattern number under it."""


class PatternFinder:
    """Finds the pattern of a scrambled payload of MPEG-TS, among those that may be in use."""

    def __init__(self, spec: ChannelSpec, ring: KeyRing, patterns: HeldPatterns) -> None:
        policy = spec.patterns
        after_ms = None if policy is None else policy.after_ms
        self._after_ns = NS_PER_MS * (after_ms or spec.lifetime_ms)
        self._first = 0 if policy is None else Rule.parse(policy.rule).first_number
        self._behind = 1 + LATE_NS // self._after_ns
        self._ring = ring
        self._patterns = patterns
        self._told: tuple[Seal, int] | None = None
        self._over: PatternPlace | None = None
        self._last: PatternPlace | None = None
        self._due: tuple[PatternPlace, range] | None = None
        """What is due by the sender's word, and from when until when; before the key's end alone."""
        bits = 1 if policy is None else policy.bits
        self._met_bits = [_met_bits(bits, steps) for steps in range(STEPS + 1)]
        self._pids: dict[int, None] = {}

    def note_told(self, seal: Seal, now: int) -> None:
        """Take what a sender signed of its key and its pattern."""
        before = None if self._told is None else self._told[0].current
        if before is not None and before != seal.current:
            self._over = before, dict(self._expected(now))[before]
        self._told, self._due = (seal, now), None
        if seal.patterns is not None:
            self._patterns.announce(seal.current, seal.patterns, now)

    def keep_only(self, held: Collection[KeyId]) -> None:
        """Erase the patterns of keys that are no longer held."""
        self._patterns.keep_only(held)

    def place(self, now: int) -> PatternPlace | None:
        """Return which pattern should be in use now; None while nothing was told."""
        return next(iter(self._expected(now)), None)

    def find(self, body: bytes, seq: int, now: int) -> tuple[KeyId, bytes] | None:
        """Return the key under which a payload has its sync bytes, and the payload; None if it fits none.

        `now` is when it arrived; that may be before the sender's word did. About 5 µs where it has the
        pattern that is due, 10 µs more for another.
        """
        is_distinct = self._met_bits[min(STEPS, len(body) // TS_PACKET_BYTES)] >= MET_BITS_MIN
        if is_distinct and self._due is not None and now in self._due[1]:
            place = self._due[0]
            payload = self._try(place, body, seq)
            if payload is not None:
                self._last = place
                return place[0], payload
        fits: list[tuple[PatternPlace, bytes]] = []
        for place in self._in_line(now):
            payload = self._try(place, body, seq)
            if payload is not None:
                fits.append((place, payload))
                if is_distinct:
                    break
        return self._choose(fits) if fits else None

    def _try(self, place: PatternPlace, body: bytes, seq: int) -> bytes | None:
        cycle = self._patterns.cycle(*place)
        return None if cycle is None else _descrambled(cycle, body, seq)

    def _choose(self, fits: list[tuple[PatternPlace, bytes]]) -> tuple[KeyId, bytes]:
        """Return key and payload of what has the most PIDs that were seen before, else of the first."""
        place, payload = max(fits, key=lambda fit: self._known_pids(fit[1]))
        self._last = place
        for pid in _pids(payload):
            self._pids.pop(pid, None)
            self._pids[pid] = None
        while len(self._pids) > PIDS_MAX:
            del self._pids[next(iter(self._pids))]
        return place[0], payload

    def _known_pids(self, payload: bytes) -> int:
        return sum(pid in self._pids for pid in _pids(payload))

    def _in_line(self, now: int) -> list[PatternPlace]:
        """Return the patterns in the order in which they are tried.

        First what should be in use by the sender's word and the time; then the last that fitted and the one
        after it, of a stream that is late; then those around.
        """
        expected = dict(self._expected(now))
        wanted = list(expected.items())[:1]
        if self._last is not None:
            wanted += [self._last, (self._last[0], self._last[1] + 1)]
        wanted += expected.items()
        # A change that came later than it was told: the next key is at its first.
        wanted += [(key_id, self._first) for key_id in expected]
        wanted += [(key_id, number + step) for key_id, number in expected.items() for step in (-1, 1)]
        if self._over is not None:
            wanted.append(self._over)
            expected.setdefault(*self._over)
        # No packet, whoever made it, leads away from what is expected.
        return [
            (key_id, number)
            for key_id, number in dict.fromkeys(wanted)
            if key_id in expected
            and -self._behind <= number - expected[key_id] <= 1
            and self._first <= number
        ]

    def _expected(self, now: int) -> Iterator[PatternPlace]:
        """Give the number that is due under each key from that on air on, the likeliest first."""
        if self._told is None:
            return
        seal, told_ns = self._told
        since_ns = now - told_ns
        number = self._first
        if seal.patterns is not None:
            passed_ns = since_ns - seal.patterns.remaining_ms * NS_PER_MS
            number = seal.patterns.number + 1 + passed_ns // self._after_ns
        over_ns = since_ns - seal.remaining_ms * NS_PER_MS
        if over_ns < 0:
            self._due = (seal.current, number), self._span(seal, told_ns, number)
            yield seal.current, number
        for key_id in sorted(self._ring.held):
            if key_id > seal.current:
                yield key_id, self._first + max(0, over_ns) // self._after_ns
        if over_ns >= 0:
            yield seal.current, number

    def _span(self, seal: Seal, told_ns: int, number: int) -> range:
        """Return when a number of the key on air is due, in monotonic ns."""
        if seal.patterns is None:
            return range(0)
        change_ns = told_ns + seal.patterns.remaining_ms * NS_PER_MS
        end_ns = change_ns + (number - seal.patterns.number) * self._after_ns
        return range(end_ns - self._after_ns, min(end_ns, told_ns + seal.remaining_ms * NS_PER_MS))


def _descrambled(cycle: Cycle, body: bytes, seq: int) -> bytes | None:
    """Return the payload if it has a sync byte at each step of 188 bytes; 0.5 µs if the first is another."""
    size = len(body)
    if body[0] ^ cycle.mask(size, seq) >> 8 * (size - 1) != SYNC_BYTE:
        return None
    payload = scramble_payload(cycle, body, seq)
    syncs = payload[::TS_PACKET_BYTES]
    return payload if syncs.count(SYNC_BYTE) == len(syncs) else None


def _met_bits(bits: int, steps: int) -> int:
    """Return how many bits of a pattern so many sync bytes are XORed with."""
    starts = range(0, steps * 8 * TS_PACKET_BYTES, 8 * TS_PACKET_BYTES)
    return len({(start + bit) % bits for start in starts for bit in range(8)})


def _pids(payload: bytes) -> list[int]:
    """Return the PIDs of a payload of MPEG-TS (ISO 13818-1 §2.4.3.2)."""
    ends = range(2, len(payload), TS_PACKET_BYTES)
    return [(payload[at - 1] & 0x1F) << 8 | payload[at] for at in ends]
