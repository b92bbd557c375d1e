"""Owns which key a coming epoch gets: one kept from the last run, one that follows, or a fresh start.

A key that is given up is erased, though not while it is still being brought to the key server.
"""

from sealcast.core.channel import ChannelSpec, KeyMaker
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.ports import Random
from sealcast.keys.material import Tek
from sealcast.keys.schedule import PlannedKey, is_chained, schedule_of


class KeyPlans:
    """The keys of one run that are not on air yet: those of the last run, and those given up."""

    def __init__(self, spec: ChannelSpec, known: dict[Epoch, Tek], random: Random) -> None:
        """`known` holds keys of slots not consumed; they are ours from now on."""
        self._spec = spec
        self._known = known
        self._schedule = schedule_of(spec, random)
        self._is_fresh_due = False
        self._given_up: list[Tek] = []

    def plan(self, epoch: Epoch, before: Tek | None, *, is_fenced: bool) -> PlannedKey | None:
        """Return the key of the next epoch, after `before` on air; None if the key server makes it.

        Under a fence nothing follows: a removed device could. One kept from the last run is taken as it is,
        and published again, since that run may have died before it was.
        """
        known = self._known.pop(epoch, None)
        if known is not None:
            return self._schedule.resume(known, before)
        if self._spec.keys is KeyMaker.KEYSERVER:
            return None
        key_id = KeyId(self._spec.number, epoch)
        return self._schedule.make(key_id, before, is_fresh=is_fenced or self._is_fresh_due)

    def forget_known(self, below: Epoch) -> int:
        """Erase the kept keys below an epoch, and all that follow from another; return the highest, or -1."""
        gone = [epoch for epoch, tek in self._known.items() if epoch < below or is_chained(tek)]
        for epoch in gone:
            self._known.pop(epoch).erase()
        return max(gone, default=-1)

    def want_fresh(self) -> None:
        """Let no key follow until one is published: what went before is not known to the key server."""
        self._is_fresh_due = True

    def note_published(self) -> None:
        """Note that the next key is at the key server: others may follow from it."""
        self._is_fresh_due = False

    def give_up(self, tek: Tek | None, *, is_under_way: bool) -> None:
        """Erase a key that never goes on air: at once, or after `settle` while it is under way."""
        if tek is None:
            return
        self._given_up.append(tek)
        if not is_under_way:
            self.settle()

    def settle(self) -> None:
        """Erase what was given up: nobody brings it anywhere any more."""
        for tek in self._given_up:
            tek.erase()
        self._given_up.clear()
