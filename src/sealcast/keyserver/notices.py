"""Owns the port through which the key server's operations tell parties that something has happened."""

from collections.abc import Callable
from typing import Protocol

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import KeyId
from sealcast.keys.policy import Window, fetch_window, repair_window, spread_ms
from sealcast.keyserver.air import AirState
from sealcast.keyserver.service_fence import order_for
from sealcast.keyserver.values import ChannelView
from sealcast.messages.subscribing import Event

AUDIENCE_UNKNOWN = 2**31
"""The first key of a stream that is not on air yet may be fetched over the longest spread: nobody waits."""


class OnNotice(Protocol):
    """Takes an event inside a unit of work; it leaves after the commit, and may be lost: it is a hint."""

    def __call__(self, event: Event, party: str | None = None) -> None:
        """Tell `party`; without it, `key-change` is for the channel's devices, `fence` for its senders."""
        ...


def silent(event: Event, party: str | None = None) -> None:
    """Tell nobody, where no events are pushed."""
    _ = event, party


def key_change(
    view: ChannelView, air: AirState, key_id: KeyId, now: int, *, is_chained: bool = False
) -> Event:
    """Return the event that `key_id` comes next, with the fetch window as it stands at `now`.

    A key that follows in a chain comes over the air: those who miss it ask in the window for repairs.
    """
    window = _window(view, air, key_id.epoch, now, repair_window if is_chained else fetch_window)
    return Event(
        kind="key-change",
        channel=view.spec.number,
        key_id=str(key_id),
        opens_in_ms=window.opens_in_ms,
        closes_in_ms=window.closes_in_ms,
    )


def _window(
    view: ChannelView,
    air: AirState,
    epoch: int,
    now: int,
    window_of: Callable[[ChannelSpec, int, int | None], Window],
) -> Window:
    """Return when receivers fetch the next key.

    Before the end of the present one; soon if there is none; within an urgent fence's own window if the key
    is the one that the sender hurries to.
    """
    report = air.latest(view.spec.number, view.on_air.epoch) if view.on_air is not None else None
    if report is None:
        return Window(0, spread_ms(view.spec, AUDIENCE_UNKNOWN))
    remaining_ms = report.remaining_now_ms(now)
    order = order_for(view.fences, view.on_air.epoch) if view.on_air is not None else None
    if order is not None and order.urgent and epoch >= order.epoch:
        hurried_ms = min(order.window_ms, remaining_ms)
        return window_of(view.spec, hurried_ms, hurried_ms)
    return window_of(view.spec, remaining_ms, None)
