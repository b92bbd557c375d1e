"""Owns the epoch to come: when its slot is consumed, when its window ends and when it goes on air (S1-2)."""

from dataclasses import dataclass
from typing import Self

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS
from sealcast.core.update import Update
from sealcast.keys.material import Tek
from sealcast.keys.policy import (
    COMMAND_WINDOW_MS_MIN,
    Window,
    fetch_window,
    guard_ms,
    prefetch_ms,
    repair_window,
)
from sealcast.keys.schedule import is_chained
from sealcast.keys.table import KeyState
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import Cause, cause_of
from sealcast.sender.boundary import Boundary
from sealcast.sender.rekeying import Rekeying

SILENCE_NS = 20_000 * NS_PER_MS
"""A word older than this is none: replicas that are cut off as well give a next key for 30 s at most."""

CONSUME_AHEAD_RATE = 0.05
CONSUME_AHEAD_MS_MAX = 500
"""A slot is consumed at most this long before the switch: time for a slow disk, little for a crash."""


@dataclass(slots=True)
class NextEpoch:
    """The epoch to come; it may have no key yet when the key server makes the keys.

    Receivers have the last `window_ms` before the switch, but for a guard, to come by its key: by the
    `update` if it follows from the one on air, else each by a request.
    """

    epoch: Epoch
    cause: Cause
    tek: Tek | None
    planned_ns: int
    window_ms: int
    update: Update | None = None
    rekeying: Rekeying | None = None
    """The repeats of the update that are still to come, once the switch is set."""

    state: KeyState = KeyState.PLANNED
    switch_ns: int | None = None
    consumed: bool = False
    confirmed: bool = False
    doubted: bool = False
    is_held: bool = False
    """Whether it waits for the content to change, and no instant alone puts it on air."""

    silence_ns: int = SILENCE_NS
    heard_ns: int = 0
    """When the key server last answered a report while the switch was set."""

    is_repaired: bool = False
    """Whether receivers get it by an update that another run sends."""

    lifetime_ms: int | None = None
    """How long this key and those after it live, where the content says it."""

    @property
    def is_chained(self) -> bool:
        """Whether its key follows from another."""
        return self.tek is not None and is_chained(self.tek)

    def set_switch(self, spec: ChannelSpec, ends_ns: int, order: FenceOrder | None, now: int) -> None:
        """Plan the switch of a key published now, after an epoch that ends at `ends_ns`: receivers get Y.

        Under a fence's order they get the time that it gives.
        """
        prefetch_ns = prefetch_ms(spec) * NS_PER_MS
        switch_ns = max(ends_ns, now + prefetch_ns)
        if order is not None:
            soon_ns = _soon_ns(spec, order, now)
            switch_ns = min(switch_ns, soon_ns if order.urgent else max(ends_ns, soon_ns))
        self._place(spec, switch_ns, min(prefetch_ns, switch_ns - now) // NS_PER_MS, now)

    def hold_for(self, spec: ChannelSpec, boundary: Boundary, now: int) -> None:
        """Plan the switch with a change of content; receivers get Y, or what time is left, W at least."""
        window_ms = min(prefetch_ms(spec), max(COMMAND_WINDOW_MS_MIN, (boundary.at_ns - now) // NS_PER_MS))
        switch_ns = max(boundary.at_ns, now + window_ms * NS_PER_MS)
        self.is_held, self.lifetime_ms, self.confirmed = True, boundary.lifetime_ms, False
        self._place(spec, switch_ns, window_ms, now)

    def is_ready(self, now: int) -> bool:
        """Whether it may go on air: recorded, its window over, the key server heard, its instant come."""
        is_due = self.switch_ns is not None and now >= self.switch_ns
        return is_due and self.consumed and self.is_assured(now) and self.tek is not None

    def is_assured(self, now: int) -> bool:
        """Whether receivers had their window, and as far as we know can get the key still."""
        is_silent = self.cause is Cause.SCHEDULE and now - self.heard_ns > self.silence_ns
        return self.confirmed and not is_silent

    def hurry(self, spec: ChannelSpec, order: FenceOrder, now: int) -> bool:
        """Bring the switch forward for an urgent order; True if it moved. A key not published yet follows."""
        soon_ns = _soon_ns(spec, order, now)
        if self.switch_ns is None:
            self.cause = cause_of(order)
            return False
        if soon_ns >= self.switch_ns:
            return False
        self.cause, self.confirmed, self.is_held = cause_of(order), False, False
        self._place(spec, soon_ns, (soon_ns - now) // NS_PER_MS, now)
        return True

    def reassure(self, now: int) -> None:
        """Give receivers a whole window anew if the key server was silent before it answered now."""
        if self.confirmed and not self.is_assured(now):
            self.doubted, self.confirmed = True, False
        self.heard_ns = now
        if self.doubted and self.switch_ns is not None:
            self.doubted = False
            self.switch_ns = max(self.switch_ns, now + self.window_ms * NS_PER_MS)

    def consume_ns(self, spec: ChannelSpec) -> int | None:
        """Return from when on the slot is consumed, None while no switch is set."""
        ahead_ms = min(CONSUME_AHEAD_MS_MAX, int(spec.lifetime_ms * CONSUME_AHEAD_RATE))
        return None if self.switch_ns is None else self.switch_ns - ahead_ms * NS_PER_MS

    def confirm_ns(self, spec: ChannelSpec) -> int | None:
        """Return when the window is over, and the switch waits for the key server's word."""
        return None if self.switch_ns is None else self.switch_ns - guard_ms(spec, self.window_ms) * NS_PER_MS

    @classmethod
    def of_another(
        cls, epoch: Epoch, spec: ChannelSpec, switch_ns: int, now: int, *, is_chained: bool
    ) -> Self:
        """Return the next epoch of the run that leads, to tell receivers of; it has no key here."""
        made = cls(epoch, Cause.SCHEDULE, None, planned_ns=now, window_ms=prefetch_ms(spec))
        made.state, made.switch_ns, made.confirmed = KeyState.PUBLISHED, switch_ns, True
        made.is_repaired = is_chained
        return made

    def ask_window(self, spec: ChannelSpec, switch_in_ms: int) -> Window:
        """Return when receivers ask for its key: if they get an update, those that missed it, later."""
        window = repair_window if self.is_repaired or self.update is not None else fetch_window
        return window(spec, switch_in_ms, self.window_ms)

    def _place(self, spec: ChannelSpec, switch_ns: int, window_ms: int, now: int) -> None:
        """Set switch and window; an update is sent from the start of the window, also of one set anew."""
        self.switch_ns, self.window_ms = switch_ns, window_ms
        if self.update is not None:
            self.rekeying = Rekeying(self.update, spec, switch_ns=switch_ns, window_ms=window_ms, now=now)


def _soon_ns(spec: ChannelSpec, order: FenceOrder, now: int) -> int:
    """Return when receivers that hear of a key now have had the time that a fence gives, Y at most."""
    return now + max(0, min(order.window_ms, prefetch_ms(spec))) * NS_PER_MS
