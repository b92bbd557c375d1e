"""Owns what a receiver counts: packets by fate, and the loss near key changes."""

from collections import deque
from dataclasses import dataclass, field

from sealcast.core.ports import NS_PER_S

NEAR_CHANGE_NS = NS_PER_S
"""Loss within a second of a change counts as lost at the change."""


@dataclass(slots=True)
class ReceiverStats:
    """Counters of one run. `received` = opened + replayed + refused + foreign + dropped + still held."""

    received: int = 0
    """Datagrams on the data port."""
    opened: int = 0
    """Verified and deciphered, each index once; of a scrambled channel descrambled, and not verified."""
    opened_bytes: int = 0
    """Payload of the opened."""
    late: int = 0
    """Opened, but their place in the output had passed."""
    replayed: int = 0
    """Seen before, or too old to tell."""
    refused: int = 0
    """Tag or shape wrong, or a pattern number that is not of now."""
    foreign: int = 0
    """Keys of another channel."""
    dropped: int = 0
    """Held without a key until too old or too many."""
    control: int = 0
    """SEAL packets accepted."""
    control_refused: int = 0
    """Control packets that were forged, replayed or misshapen, or of another channel or an earlier time."""
    key_changes: int = 0
    """Switches announced after the first key."""
    switch_lost: int = 0
    """Of the lost, those within a second of a change."""
    fetches: int = 0
    """Key requests asked for."""
    updates: int = 0
    """Keys that followed from the one before by an update on the air (S0-9)."""
    updates_refused: int = 0
    """Updates in accepted SEAL packets that follow from no key held, or are misshapen."""


@dataclass(slots=True)
class SwitchLoss:
    """Sets gaps and changes against each other in time, whichever was noticed first."""

    _gaps: deque[tuple[int, int]] = field(default_factory=deque)
    _changed_ns: int | None = None
    total: int = 0

    def note_gap(self, packets: int, now: int) -> None:
        """Count packets given up as lost, or (negative) found after all."""
        if self._changed_ns is not None and now - self._changed_ns <= NEAR_CHANGE_NS:
            self.total += packets
        else:
            self._gaps.append((now, packets))
            self._forget(now)

    def note_change(self, now: int) -> None:
        """Count the loss of the second before a change to it."""
        self._forget(now)
        self.total += sum(packets for _, packets in self._gaps)
        self._gaps.clear()
        self._changed_ns = now

    def _forget(self, now: int) -> None:
        while self._gaps and now - self._gaps[0][0] > NEAR_CHANGE_NS:
            self._gaps.popleft()
