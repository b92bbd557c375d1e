"""Owns the question whether SEAL packets stand to reason, for one who cannot verify any of them.

Each is held against itself, against the one before it of the same sender, and against the data packets. A
forger who knows all this can satisfy it: only tag and signature prove anything, and they take a key.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.wire import srtcp
from sealcast.wire.rtp import SEQ_MODULUS
from sealcast.wire.seal import Seal, parse_seal

SENDERS_MAX = 16
"""SSRCs followed on the control port; a channel has one or two at a time."""

COUNTDOWN_MS = 1_000
"""How far the end of an epoch may move between two packets: what a busy network delays them by."""

SEQ_APART_MAX = SEQ_MODULUS // 4
"""How far SEAL's highest SEQ may be from the data's: packets between two SEALs, and those that wait."""

SETTLED_NS = NS_PER_S // 5
"""Once data has come for so long (the interval of SEAL packets), one of an SSRC without any is strange."""


class Oddity(StrEnum):
    """One way in which a SEAL packet does not stand to reason."""

    NOT_SEAL = "is no SEAL packet"
    KEY_ID = "names another key than the one that it is under"
    INDEX = "has an index that does not rise"
    REMAINING = "has more time left than the key's lifetime"
    COUNTDOWN = "does not count the remaining time down"
    EPOCH = "goes back to an earlier epoch"
    NEXT = "announces a next key of another channel, or no later one"
    WINDOW = "has a fetch window that ends before it opens, or after the switch"
    COUNTERS = "has counters (ROC, SEQ) that jump"
    SEQ = "has a highest SEQ far from the data's"
    SSRC = "is of an SSRC that sends no data"
    DATA = "names another key than the data packets"
    KEY_SERVER = "names a key server that is no https address"


@dataclass(frozen=True, slots=True)
class DataView:
    """What the data packets say of one SSRC; `highest_seq` is None where none of it came."""

    highest_seq: int | None
    packets: int
    key_ids: frozenset[KeyId] | None
    """The SSRC's key IDs so far, all SSRCs' for one without data; None while nothing looks like key IDs."""

    first_data_ns: int | None
    """When the first data packet of any SSRC came."""


@dataclass(slots=True)
class _Sender:
    """The last packet of one SSRC that stood to reason."""

    index: int
    seal: Seal
    at_ns: int
    data_packets: int


class SealJudge:
    """Reads SEAL packets and counts what is odd about them."""

    def __init__(self) -> None:
        self.packets = 0
        self.sensible = 0
        self.oddities: Counter[Oddity] = Counter()
        self.last: tuple[Seal, int] | None = None
        """The last packet that stood to reason, and when it came."""
        self._senders: dict[int, _Sender] = {}

    @property
    def senders(self) -> int:
        """SSRCs from which a packet that stands to reason came."""
        return len(self._senders)

    def take(self, packet: bytes, data_of: Callable[[int], DataView], now: int) -> None:
        """Judge a packet of the control port; `data_of` tells what the data port says of an SSRC."""
        self.packets += 1
        try:
            control = srtcp.split_control(packet)
            seal = parse_seal(control.clear_compound).seal
        except FormatError:
            self.oddities[Oddity.NOT_SEAL] += 1
            return
        view = data_of(seal.ssrc)
        before = self._senders.get(seal.ssrc)
        odd = _against_itself(seal, control.mki) | _against_data(seal, view, now)
        if before is not None:
            odd |= _against_before(seal, control.index, before, view, now)
        self.oddities.update(odd)
        if not odd:
            self.sensible += 1
            self.last = seal, now
            if before is not None or len(self._senders) < SENDERS_MAX:
                self._senders[seal.ssrc] = _Sender(control.index, seal, now, view.packets)


def _against_itself(seal: Seal, mki: bytes) -> set[Oddity]:
    odd: set[Oddity] = set()
    if mki != seal.current.pack():
        odd.add(Oddity.KEY_ID)
    if seal.remaining_ms > seal.lifetime_ms + COUNTDOWN_MS:
        odd.add(Oddity.REMAINING)
    if any(not url.startswith("https://") or not url.isprintable() for url in seal.key_servers):
        odd.add(Oddity.KEY_SERVER)
    coming, window = seal.next, seal.window
    if coming is not None and (
        coming.key_id.channel != seal.current.channel or coming.key_id.epoch <= seal.current.epoch
    ):
        odd.add(Oddity.NEXT)
    if window is not None and window.closes_in_ms < window.opens_in_ms:
        odd.add(Oddity.WINDOW)
    if window is not None and coming is not None and window.closes_in_ms > coming.switch_in_ms + COUNTDOWN_MS:
        odd.add(Oddity.WINDOW)
    return odd


def _against_data(seal: Seal, view: DataView, now: int) -> set[Oddity]:
    odd: set[Oddity] = set()
    if view.highest_seq is None:
        if view.first_data_ns is not None and now - view.first_data_ns > SETTLED_NS and not seal.bye:
            odd.add(Oddity.SSRC)
    else:
        apart = (seal.seq - view.highest_seq) % SEQ_MODULUS
        if min(apart, SEQ_MODULUS - apart) > SEQ_APART_MAX:
            odd.add(Oddity.SEQ)
    if view.key_ids and not any(_is_near(seal.current, key_id) for key_id in view.key_ids):
        odd.add(Oddity.DATA)
    return odd


def _against_before(seal: Seal, index: int, before: _Sender, view: DataView, now: int) -> set[Oddity]:
    odd: set[Oddity] = set()
    if index <= before.index:
        odd.add(Oddity.INDEX)
    if seal.current.channel != before.seal.current.channel or seal.current.epoch < before.seal.current.epoch:
        odd.add(Oddity.EPOCH)
    step = _index_of(seal) - _index_of(before.seal)
    if not 0 <= step <= view.packets - before.data_packets + SEQ_APART_MAX:
        odd.add(Oddity.COUNTERS)
    if not _counts_down(seal, before, now):
        odd.add(Oddity.COUNTDOWN)
    return odd


def _counts_down(seal: Seal, before: _Sender, now: int) -> bool:
    """Whether the end of the epoch stays where it was, unless something happened that moves it.

    Setting the switch moves it, and an extended epoch has no end.
    """
    moved = (seal.next is None) != (before.seal.next is None) or seal.current != before.seal.current
    if moved or seal.extended or before.seal.extended or not seal.remaining_ms:
        return True
    passed_ms = (now - before.at_ns) // NS_PER_MS
    return abs(before.seal.remaining_ms - passed_ms - seal.remaining_ms) <= COUNTDOWN_MS


def _index_of(seal: Seal) -> int:
    return seal.roc * SEQ_MODULUS + seal.seq


def _is_near(one: KeyId, other: KeyId) -> bool:
    """Whether data under `other` may surround a SEAL packet of `one`: packets overtake each other."""
    return one.channel == other.channel and abs(one.epoch - other.epoch) <= 1
