"""Owns which key is on air and which comes next: planned, published, consumed, switched (S1-2, S1-6).

```
remaining ≤ X: plan ──► PublishKey or GenerateKey ──► published: the switch is set, never before the
   receivers had Y to fetch ──► shortly before: ConsumeSlot ──► fetch window over: the key server must
   answer a report ──► consumed, confirmed and due: switch
```

While the key server does not answer, the epoch on air is *extended*: delivery goes on under its key. A key
server that went away between publication and fetch would leave receivers without the key; so the switch
waits for a word from it after the window; if it was silent before, receivers get a whole window anew.

A *fence* is the key server's word that a device was removed: no epoch below it goes on air any more but that
which is. A next epoch below it is dropped, and so is one whose key follows from that on air, since the device
could follow too: their slots are burned, and a fresh start comes. An urgent one has the change begin at once.
"""

from dataclasses import replace

from sealcast.core.channel import ChannelSpec, KeyMaker
from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, Random
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek
from sealcast.keys.policy import COMMAND_WINDOW_MS_MIN, prefetch_ms, publish_in_ms
from sealcast.keys.table import KeyEvent, KeyState, next_state
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import (
    Action,
    Cause,
    ConsumeSlot,
    GenerateKey,
    PublishKey,
    RenewLease,
    cause_of,
)
from sealcast.sender.airepoch import AirEpoch, go_on_air
from sealcast.sender.attempts import Attempt, Attempts
from sealcast.sender.boundary import Boundary
from sealcast.sender.coming import SILENCE_NS, NextEpoch
from sealcast.sender.fences import both
from sealcast.sender.keyplans import KeyPlans
from sealcast.sender.slotplan import SlotPlan

START_WAIT_NS = 2_000 * NS_PER_MS
"""How long a start waits for its key to be published before it goes on air all the same."""


class EpochPlanner:
    """Holds the epoch on air and the next one, and asks for what the change needs."""

    def __init__(self, spec: ChannelSpec, lease: Lease, known: dict[Epoch, Tek], random: Random) -> None:
        self._spec = spec
        self._slots = SlotPlan(lease)
        self._keys = KeyPlans(spec, known, random)
        self._attempts = Attempts()
        self.first_slot: RunSlot = lease.peek()
        self._fence: FenceOrder | None = None
        self._is_news = False
        self._boundary: Boundary | None = None
        self.current: AirEpoch | None = None
        self.next: NextEpoch | None = None
        self.silence_ns = SILENCE_NS

    @property
    def lease(self) -> Lease:
        """Slots not consumed."""
        return self._slots.lease

    @property
    def lifetime_ms(self) -> int:
        """How long keys live that go on air from now on."""
        return self._spec.lifetime_ms

    def use_lifetime(self, lifetime_ms: int) -> None:
        """Let keys that go on air from now on live so long, in place of what the channel says."""
        self._spec = replace(self._spec, lifetime_ms=lifetime_ms)

    def expect_change(self, boundary: Boundary, now: int) -> None:
        """Have the key change with the content: the next one waits for `change_now` at the boundary.

        What was due less than Y before it waits for it as well, and a longer epoch ends with it.
        """
        self._boundary = boundary
        coming = self.next
        if self.current is None or coming is None or coming.switch_ns is None:
            return
        if boundary.takes(self._spec, coming.switch_ns):
            coming.hold_for(self._spec, boundary, now)

    def change_now(self, now: int) -> bool:
        """Whether the content may change now, under a key that receivers have: then `switch` is due."""
        coming = self.next
        if coming is None or not coming.is_held or not coming.is_ready(now):
            return False
        coming.is_held, self._boundary = False, None
        return True

    def give_up_change(self) -> None:
        """Expect no change of content any more: the next key goes on air when it is ready."""
        self._boundary = None
        if self.next is not None:
            self.next.is_held = False

    def remaining_ms(self, now: int) -> int:
        """Return what is left of the epoch on air, as receivers are told: to the switch if it is set."""
        if self.current is None:
            return self._spec.lifetime_ms
        ends_ns = self.current.ends_ns
        if self.next is not None and self.next.switch_ns is not None:
            ends_ns = self.next.switch_ns
        return max(0, (ends_ns - now) // NS_PER_MS)

    def is_extended(self, now: int) -> bool:
        """Whether the epoch on air goes on past its lifetime, because receivers may not have the next key."""
        if self.current is None or now < self.current.ends_ns:
            return False
        coming = self.next
        if coming is None or coming.switch_ns is None:
            return True
        return not coming.is_assured(now) and now >= coming.switch_ns

    def poll_action(self, now: int) -> Action | None:
        """Return the next thing to do outside, or None."""
        self._plan(now)
        if self._attempts.lease.is_free(now) and self._slots.wants_more:
            self._attempts.lease.under_way = True
            return RenewLease(self._slots.first_unused)
        if self._attempts.key.is_free(now) and (action := self._key_action()) is not None:
            self._attempts.key.under_way = True
            return action
        if self._attempts.consume.is_free(now) and (epoch := self._epoch_to_consume(now)) is not None:
            self._attempts.consume.under_way = True
            return ConsumeSlot(epoch)
        return None

    def handle_lease(self, slots: tuple[RunSlot, ...], now: int) -> None:
        """Take more slots."""
        self._attempts.lease.succeed()
        if not self._slots.extend(slots):
            self._attempts.lease.fail(now)

    def handle_published(self, epoch: Epoch, now: int) -> None:
        """Note that the key server holds a key; of the next one, set the switch so that receivers have Y."""
        self._attempts.key.succeed()
        self._keys.settle()
        if self.current is not None and self.current.tek.key_id.epoch == epoch:
            self._settle(self.current)
        coming = self.next
        if coming is None or coming.epoch != epoch or coming.state is not KeyState.PLANNED:
            return
        self._keys.note_published()
        coming.state = next_state(coming.state, KeyEvent.PUBLISH)
        self._set_switch(coming, now)

    def handle_generated(self, tek: Tek, now: int) -> None:
        """Take the next key from the key server, which made it and holds it."""
        if self.next is not None and self.next.epoch == tek.key_id.epoch:
            self.next.tek = tek
        self.handle_published(tek.key_id.epoch, now)

    def handle_consumed(self, epoch: Epoch) -> None:
        """Note that the slot is durably consumed: the epoch may go on air."""
        self._attempts.consume.succeed()
        self._slots.note_recorded(epoch)
        if self.next is not None and self.next.epoch == epoch:
            self.next.consumed = True

    def handle_fence(self, order: FenceOrder, now: int) -> None:
        """Let no epoch below a fence go on air; an order that was heard before changes nothing.

        A next epoch below it, or with a key that follows from the one on air, is dropped; the fresh start
        that takes its place gives receivers their time to fetch.
        An urgent order has the next one published at once, and put on air as soon as receivers had that time.
        """
        if self.current is not None and self.current.tek.key_id.epoch >= order.epoch:
            return  # It crossed the change that it asks for.
        order = self._fence = order if self._fence is None else both(self._fence, order)
        burned = max(order.epoch - 1, self._keys.forget_known(Epoch(order.epoch)))
        coming = self.next
        if coming is not None and (coming.epoch < order.epoch or coming.is_chained):
            self._drop(coming)
            burned = max(burned, coming.epoch)
        elif coming is not None and order.urgent and self.current is not None:
            self._is_news = coming.hurry(self._spec, order, now) or self._is_news
        self._slots.burn(burned)

    def pop_news(self) -> bool:
        """Whether a fence has changed what comes next since last asked: receivers must hear of it."""
        is_news, self._is_news = self._is_news, False
        return is_news

    def wants_word(self, now: int) -> bool:
        """Whether the switch waits for a word from the key server: the fetch window is over."""
        coming = self.next
        if self.current is None or coming is None or coming.confirmed:
            return False
        confirm_ns = coming.confirm_ns(self._spec)
        return confirm_ns is not None and now >= confirm_ns

    def handle_heard(self, now: int) -> None:
        """Note that the key server answered: the switch may come; after a silence, receivers get Y anew."""
        coming = self.next
        if coming is None or coming.switch_ns is None:
            return
        coming.reassure(now)
        coming.confirmed = coming.confirmed or self.wants_word(now)

    def handle_silent(self) -> None:
        """Note that the key server did not answer: receivers may not have got the next key either."""
        if self.next is not None:
            self.next.doubted = True
            self.next.confirmed = False

    def handle_failed(self, action: Action, now: int) -> None:
        """No answer: the action comes again later."""
        self._attempt_of(action).fail(now)
        if isinstance(action, PublishKey):
            self._keys.settle()

    def handle_refused(self, action: Action, now: int) -> None:
        """Give up the slot whose epoch the key server will not have; another is planned."""
        self._attempt_of(action).fail(now)
        if not isinstance(action, PublishKey | GenerateKey):
            return
        self._keys.settle()
        epoch = action.tek.key_id.epoch if isinstance(action, PublishKey) else action.epoch
        if self.current is not None and self.current.tek.key_id.epoch == epoch:
            self._settle(self.current)  # Asking again would not help; the next key will be known.
            self._leave_chain(self.current, now)
        if self.next is not None and self.next.epoch == epoch:
            # On disk as well: a start without key server would go on air under a key that nobody is given.
            self._slots.burn(epoch)
            if self.next.is_chained:
                self._keys.want_fresh()
            self._keys.give_up(self.next.tek, is_under_way=False)
            self.next = None

    def is_switch_due(self, now: int) -> bool:
        """Whether the next epoch goes on air now."""
        coming = self.next
        if coming is None or not coming.consumed or coming.tek is None:
            return False
        if self.current is None:
            return True
        return coming.is_ready(now) and not coming.is_held

    def switch(self, now: int) -> AirEpoch | None:
        """Put the next epoch on air; return the one before, whose key is erased, and all that led on from it.

        Ku, which led to this key, goes as well as soon as the key server has it.
        """
        coming, before = self.next, self.current
        if coming is None or coming.tek is None or not coming.consumed:
            raise LocalError("no epoch is ready to go on air")
        next_state(coming.state, KeyEvent.ON_AIR)
        published = coming.state is KeyState.PUBLISHED
        tek = coming.tek
        if coming.lifetime_ms is not None:
            self.use_lifetime(coming.lifetime_ms)
        self.current = go_on_air(
            tek,
            coming.cause,
            self.first_slot.ssrc,
            self._spec.lifetime_ms,
            now,
            is_published=published,
        )
        self.next = None
        if self._fence is not None and tek.key_id.epoch >= self._fence.epoch:
            self._fence = None
        if published:
            self._settle(self.current)
        if before is not None:
            before.tek.erase()
        return before

    def take_update(self, now: int) -> tuple[bytes, ...]:
        """Return the rekey message that a SEAL packet carries now, counted as sent; mostly there is none."""
        coming = self.next
        if coming is None or coming.rekeying is None or not coming.rekeying.take(now):
            return ()
        message = coming.rekeying.message
        if not coming.rekeying.left:
            coming.rekeying = None
        return (message,)

    @property
    def update_ns(self) -> int | None:
        """When `take_update` has one, in monotonic ns."""
        rekeying = self.next.rekeying if self.next is not None else None
        return rekeying.due_ns if rekeying is not None else None

    def next_timeout(self, now: int) -> int | None:
        """Return when `poll_action` or `is_switch_due` may have something new, in monotonic ns."""
        times: list[int | None] = [
            a.again_ns for a in (self._attempts.lease, self._attempts.key, self._attempts.consume)
        ]
        if self.current is not None:
            times.append(self._plan_ns(self.current))
            times.append(self.current.ends_ns)
        if self.next is not None:
            spec, coming = self._spec, self.next
            times += [coming.switch_ns, coming.consume_ns(spec), coming.confirm_ns(spec)]
            times.append(coming.planned_ns + START_WAIT_NS if self.current is None else None)
        return min((time for time in times if time is not None and time > now), default=None)

    def _plan(self, now: int) -> None:
        if self.next is not None or not self._slots.lease.slots:
            return
        order = self._fence if self._fence is not None and self._fence.urgent else None
        if self.current is not None and now < self._plan_ns(self.current) and order is None:
            return
        epoch = self._slots.lease.peek().epoch
        cause = Cause.SCHEDULE if order is None else cause_of(order)
        before = self.current.tek if self.current is not None else None
        if before is None:
            cause = Cause.START
        key = self._keys.plan(epoch, before, is_fenced=self._fence is not None)
        tek, update = (key.tek, key.update) if key is not None else (None, None)
        window_ms = prefetch_ms(self._spec)
        self.next = NextEpoch(epoch, cause, tek, planned_ns=now, window_ms=window_ms, update=update)
        self.next.silence_ns = self.silence_ns
        if tek is not None and self._spec.keys is KeyMaker.KEYSERVER:
            self.handle_published(epoch, now)

    def _key_action(self) -> Action | None:
        """Return what brings a key to the key server: that on air first, if we started without one."""
        if self.current is not None and not self.current.published:
            return PublishKey(self.current.tek)
        coming = self.next
        if coming is None or coming.state is not KeyState.PLANNED:
            return None
        return PublishKey(coming.tek) if coming.tek is not None else GenerateKey(coming.epoch)

    def _plan_ns(self, current: AirEpoch) -> int:
        """Return when the next epoch is planned: X before the end of this one."""
        ahead_ms = self._spec.lifetime_ms - publish_in_ms(self._spec, self._spec.lifetime_ms)
        return self._ends_ns(current) - ahead_ms * NS_PER_MS

    def _ends_ns(self, current: AirEpoch) -> int:
        """Return when an epoch ends: after its lifetime, or with the content."""
        boundary = self._boundary
        is_bound = boundary is not None and boundary.takes(self._spec, current.ends_ns)
        return boundary.at_ns if boundary is not None and is_bound else current.ends_ns

    def _epoch_to_consume(self, now: int) -> Epoch | None:
        """Return the epoch to record as consumed, with all below it: what a fence burned, or the next one."""
        if (burned := self._slots.unrecorded) is not None:
            return burned
        coming = self.next
        return coming.epoch if coming is not None and self._wants_consume(coming, now) else None

    def _wants_consume(self, coming: NextEpoch, now: int) -> bool:
        if coming.consumed or coming.tek is None:
            return False
        if self.current is None:
            return coming.state is KeyState.PUBLISHED or now >= coming.planned_ns + START_WAIT_NS
        consume_ns = coming.consume_ns(self._spec)
        return consume_ns is not None and now >= consume_ns

    def _set_switch(self, coming: NextEpoch, now: int) -> None:
        """Plan the switch to an epoch whose key was published now, so that receivers have a window."""
        if self.current is None:
            coming.switch_ns = now
            return
        order, boundary = self._fence, self._boundary
        is_hurried = order is not None and order.urgent
        if boundary is not None and not is_hurried and boundary.takes(self._spec, self.current.ends_ns):
            coming.hold_for(self._spec, boundary, now)
        else:
            coming.set_switch(self._spec, self.current.ends_ns, order, now)
        self._is_news = self._is_news or self._fence is not None

    def _drop(self, coming: NextEpoch) -> None:
        """Give up the next epoch: it never goes on air."""
        next_state(coming.state, KeyEvent.SUPERSEDED)
        self._keys.give_up(coming.tek, is_under_way=self._attempts.key.under_way)
        self.next = None

    def _settle(self, current: AirEpoch) -> None:
        """Note that the key on air needs no publication any more: what led to it is of no use to anybody."""
        current.published = True
        if current.tek.origin is not None:
            current.tek.origin.forget_update()

    def _leave_chain(self, current: AirEpoch, now: int) -> None:
        """Change at once to a fresh start: of a chain's key that was refused nobody can get either C or TEK.

        A device that was removed may know it all the same, where Ku is one of a prepared cycle.
        """
        if current.tek.origin is not None:
            beyond = Epoch(current.tek.key_id.epoch + 1)
            self.handle_fence(FenceOrder(epoch=beyond, window_ms=COMMAND_WINDOW_MS_MIN, urgent=True), now)

    def _attempt_of(self, action: Action) -> Attempt:
        if isinstance(action, RenewLease):
            return self._attempts.lease
        return self._attempts.consume if isinstance(action, ConsumeSlot) else self._attempts.key
