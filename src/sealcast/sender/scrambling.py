"""Owns how one epoch's packets are scrambled: its patterns, which is whose turn, and what SEAL says of them.

```
TEK ──► pattern of source a, number n ──► rule ──► cycle ──► payload XOR cycle
number: up by one after so many bytes, packets or ms; each epoch begins anew with the lowest
```
"""

from collections.abc import Sequence
from functools import partial

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.material import Tek
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.wire import rtp
from sealcast.wire.changing import Change, PatternSchedule
from sealcast.wire.cycles import Cycle, PatternBook
from sealcast.wire.patterns import Rule
from sealcast.wire.scramble import Scrambler, pack_trailer
from sealcast.wire.seal import MS_MAX, PatternState
from sealcast.wire.sealing import Payload, SealedBatch


def change_of(policy: PatternPolicy) -> Change:
    """Return when patterns change by a channel's policy."""
    after_ns = None if policy.after_ms is None else policy.after_ms * NS_PER_MS
    return Change(policy.after_bytes, policy.after_packets, after_ns)


class Scrambling:
    """Scrambles the packets of one epoch and SSRC; `erase` it when the epoch is over."""

    def __init__(
        self, tek: Tek, policy: PatternPolicy, ssrc: int, now: int, *, is_keyed: bool = True
    ) -> None:
        """Begin with the lowest number; its time runs from `now`, also without packets.

        Packets carry number and key ID unless `is_keyed` is False.
        """
        rule = Rule.parse(policy.rule)
        self._book = PatternBook(rule, derive=partial(derive_pattern_bits, tek), bits=policy.bits)
        self._schedule = PatternSchedule(change_of(policy), first=rule.first_number)
        self._schedule.follow(now)
        self._scrambler = Scrambler(ssrc)
        self._mki = tek.key_id.pack()
        self._is_keyed = is_keyed
        self._turned: int | None = None
        self._trailer = b""

    def scramble(
        self,
        index: int,
        payloads: Sequence[Payload],
        timestamps: Sequence[int],
        now: int,
        *,
        second: int,
    ) -> SealedBatch:
        """Scramble the first payloads, as many as one batch and the present pattern take; see `Scrambler`."""
        number, count = self._schedule.plan([len(payload) for payload in payloads], now)
        cycle = self.cycle(number)
        batch = self._scrambler.scramble(
            cycle, self._trailer, index, payloads[:count], timestamps, second=second
        )
        self._schedule.record(batch.count, self.payload_bytes(batch))
        return batch

    def payload_bytes(self, batch: SealedBatch) -> int:
        """Return the bytes of a batch without what stands around its payloads."""
        return len(batch.data) - batch.count * (rtp.HEADER_BYTES + len(self._trailer))

    def cycle(self, number: int) -> Cycle:
        """Return the cycle of a number, the present one or a later; patterns of those before are erased."""
        cycle = self._book.cycle(number)
        if cycle is None:
            raise LocalError("a pattern before the first")
        if number != self._turned:
            self._turned = number
            self._book.drop_before(number)
            self._trailer = pack_trailer(number, self._mki) if self._is_keyed else b""
        return cycle

    def state(self, now: int) -> PatternState:
        """Return what receivers are told: the number in use, and when it changes by time."""
        number = self._schedule.follow(now)
        remaining_ns = self._schedule.remaining_ns(now)
        return PatternState(number, MS_MAX if remaining_ns is None else remaining_ns // NS_PER_MS)

    def erase(self) -> None:
        """Erase the patterns."""
        self._book.erase()
