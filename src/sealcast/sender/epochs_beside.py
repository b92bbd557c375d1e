"""Owns the epochs of a run that sends beside others: theirs while one of them leads, else its own (S1-7).

Two runs under one key never share an IV: each has an SSRC of its own, from a run slot that is consumed before
its first packet. While another leads, our slots up to its epoch are burned, so that ours would come after it.
"""

from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.material import Tek
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import Cause
from sealcast.sender.airepoch import AirEpoch, go_on_air
from sealcast.sender.beside import SharedKeys
from sealcast.sender.coming import NextEpoch
from sealcast.sender.epochs import EpochPlanner
from sealcast.sender.fences import both


class BesidePlanner(EpochPlanner):
    """Plans as `EpochPlanner` while it leads; between `follow` and `lead` it goes along with another run."""

    _led: SharedKeys | None = None
    _may_lead = False

    @property
    def is_led(self) -> bool:
        """Whether another run makes the keys."""
        return self._led is not None

    @property
    def leads(self) -> bool:
        """Whether the epoch on air is our own."""
        return self._led is None and self.current is not None

    def is_behind(self, shared: SharedKeys) -> bool:
        """Whether another run is on air under a later epoch than we are."""
        if self.current is None or shared.current is None or not shared.living:
            return False
        return shared.current.key_id.epoch > self.current.tek.key_id.epoch

    def follow(self, shared: SharedKeys, now: int) -> None:
        """Go along with the run that leads; its key, if there is one, is ours to erase."""
        tek = shared.current
        if tek is None:
            return
        if self._led is None and self.next is not None:
            self._drop(self.next)
        if self._led is not None and self._led.current is not None:
            self._led.current.erase()
        self._led, epoch = shared, tek.key_id.epoch
        self._slots.burn(max(epoch, self.first_slot.epoch))
        ends_ns = now + shared.remaining_ms * NS_PER_MS
        if self.current is not None and self.current.tek.key_id.epoch == epoch:
            self.current.ends_ns = ends_ns
        self.next = None
        if shared.following is not None and shared.following > epoch:
            self.next = NextEpoch.of_another(
                shared.following, self._spec, ends_ns, now, is_chained=shared.is_chained
            )

    def lead(self) -> None:
        """Make the next key ourselves: nobody else does."""
        self._may_lead = True
        if self._led is not None:
            if self._led.current is not None:
                self._led.current.erase()
            self._led, self.next = None, None

    def is_extended(self, now: int) -> bool:
        """Whether the epoch on air goes on past its lifetime, by the word of the run that leads."""
        return self._led.is_extended if self._led is not None else super().is_extended(now)

    def handle_fence(self, order: FenceOrder, now: int) -> None:
        """Keep the order while another run leads, which has heard it too: should it be gone, it is ours."""
        if self._led is None:
            super().handle_fence(order, now)
        elif self.current is None or self.current.tek.key_id.epoch < order.epoch:
            self._fence = order = order if self._fence is None else both(self._fence, order)
            self._slots.burn(max(order.epoch - 1, self._keys.forget_known(Epoch(order.epoch))))

    def is_switch_due(self, now: int) -> bool:
        """Whether the run that leads is under a later epoch than ours, and our slots are burned on disk."""
        if self._led is None:
            return super().is_switch_due(now)
        tek = self._led.current
        if tek is None or self._slots.unrecorded is not None:
            return False
        return self.current is None or tek.key_id.epoch > self.current.tek.key_id.epoch

    def switch(self, now: int) -> AirEpoch | None:
        """Put the epoch of the run that leads on air; return the one before, whose key is erased."""
        if self._led is None:
            return super().switch(now)
        if self._led.current is None:
            raise LocalError("no epoch of another run is known")
        before, self.current = self.current, self._of_another(self._led.current, self._led, now)
        if self._fence is not None and self.current.tek.key_id.epoch >= self._fence.epoch:
            self._fence = None
        if before is not None:
            before.tek.erase()
        return before

    def _plan(self, now: int) -> None:
        if self._led is None and self._may_lead:
            super()._plan(now)

    def _of_another(self, tek: Tek, shared: SharedKeys, now: int) -> AirEpoch:
        ssrc = self.first_slot.ssrc
        made = go_on_air(tek.copy(), Cause.SCHEDULE, ssrc, shared.lifetime_ms, now, is_published=True)
        made.is_shared, made.ends_ns = True, now + shared.remaining_ms * NS_PER_MS
        return made
