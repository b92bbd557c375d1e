"""Owns how two orders of the key server about one channel become one."""

from sealcast.messages.answers import FenceOrder


def both(one: FenceOrder, other: FenceOrder) -> FenceOrder:
    """Return the order that keeps both; `other` came later."""
    return FenceOrder(
        epoch=max(one.epoch, other.epoch),
        window_ms=other.window_ms,
        urgent=one.urgent or other.urgent,
        commanded=one.commanded and other.commanded,
    )
