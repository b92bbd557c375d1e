"""Owns what a sender announces of its keys: the one on air, the next, and when receivers fetch it (S1-9)."""

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import LocalError
from sealcast.core.ids import KeyId, PacketIndex
from sealcast.core.ports import NS_PER_MS
from sealcast.sender.epochs import EpochPlanner
from sealcast.wire.seal import NextKey, Seal, SealWindow


def seal_content(
    epochs: EpochPlanner, spec: ChannelSpec, highest: PacketIndex, now: int, *, is_bye: bool
) -> Seal:
    """Return what a SEAL packet says of keys and counters now; `highest` is the last index sent."""
    current, coming = epochs.current, epochs.next
    if current is None:
        raise LocalError("no epoch is on air")
    notice = window = None
    if coming is not None and coming.switch_ns is not None and not is_bye:
        switch_in_ms = max(0, (coming.switch_ns - now) // NS_PER_MS)
        draw = coming.ask_window(spec, switch_in_ms)
        notice = NextKey(KeyId(spec.number, coming.epoch), switch_in_ms)
        window = SealWindow(draw.opens_in_ms, draw.closes_in_ms)
    return Seal(
        ssrc=epochs.first_slot.ssrc,
        current=current.tek.key_id,
        remaining_ms=epochs.remaining_ms(now),
        lifetime_ms=epochs.lifetime_ms,
        roc=highest >> 16,
        seq=highest & 0xFFFF,
        extended=epochs.is_extended(now),
        next=notice,
        window=window,
        bye=is_bye,
    )
