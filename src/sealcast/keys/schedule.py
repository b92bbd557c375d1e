"""Owns how the key of a coming epoch is made, one class for each schedule a channel may have (S0-9, S0-11).

| schedule | the next key                          | receivers get it                              |
|----------|---------------------------------------|-----------------------------------------------|
| fetch    | random, independent of every other    | each by a request of its own                  |
| chain    | follows from C(i) and a Ku            | by an update on the air, few by a request     |
|          | at a fresh start: from a random C     | each by a request of its own                  |
"""

from dataclasses import dataclass
from typing import Protocol

from sealcast.core.channel import ChannelSpec, ScheduleKind, Suite
from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.core.update import UPDATE_BYTES, Update
from sealcast.keys.chain import CHAIN_BYTES, Link, make_update, start_chain
from sealcast.keys.material import Origin, Tek, make_tek


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """A key for a coming epoch; `update` is what receivers are sent if it follows from the one on air."""

    tek: Tek
    update: Update | None = None


class KeySchedule(Protocol):
    """Makes the keys of one sender's run, one after the other; it keeps no key that it made."""

    def make(self, key_id: KeyId, before: Tek | None, *, is_fresh: bool) -> PlannedKey:
        """Return a key for `key_id`; `before` is the one on air, `is_fresh` forbids to follow from it.

        Raises FormatError for a key ID that does not come after `before`.
        """
        ...

    def resume(self, tek: Tek, before: Tek | None) -> PlannedKey:
        """Return a key made earlier, with its update if it follows from `before`."""
        ...


class FetchSchedule:
    """Every key is random."""

    def __init__(self, suite: Suite, random: Random) -> None:
        self._suite, self._random = suite, random

    def make(self, key_id: KeyId, before: Tek | None, *, is_fresh: bool) -> PlannedKey:
        """Return a random key."""
        del before, is_fresh
        return PlannedKey(make_tek(key_id, self._suite, self._random))

    def resume(self, tek: Tek, before: Tek | None) -> PlannedKey:
        """Return the key as it is."""
        del before
        return PlannedKey(tek)


class ChainSchedule:
    """Keys follow from each other, at most `fresh_epochs` of them; then, or if told to, a fresh start."""

    def __init__(self, suite: Suite, random: Random, *, fresh_epochs: int, cycle: int = 0) -> None:
        """`cycle` is after how many changes a Ku comes again, 0 if never: then each is made when needed."""
        self._suite, self._random = suite, random
        self._fresh_epochs = fresh_epochs
        self._prepared = [make_update(random) for _ in range(cycle)]
        self._made = 0

    def make(self, key_id: KeyId, before: Tek | None, *, is_fresh: bool) -> PlannedKey:
        """Return the key that follows from `before`, or a fresh start."""
        link = None if before is None else link_of(before)
        if is_fresh or before is None or link is None or before.origin is None:
            return self._start(key_id)
        if key_id.epoch >= before.origin.fresh_at or before.suite is not self._suite:
            return self._start(key_id)
        update = self._next_update()
        tek = follow(before, key_id, update)
        return PlannedKey(tek, Update(before.key_id, key_id, link.wrap(update)))

    def resume(self, tek: Tek, before: Tek | None) -> PlannedKey:
        """Return a key made earlier, with its update if it follows from `before`."""
        origin, link = tek.origin, None if before is None else link_of(before)
        if origin is None or not origin.update or link is None or origin.follows != link.key_id:
            return PlannedKey(tek)
        return PlannedKey(tek, Update(link.key_id, tek.key_id, link.wrap(origin.update)))

    def _start(self, key_id: KeyId) -> PlannedKey:
        link = start_chain(key_id, self._suite, self._random)
        return PlannedKey(chained_tek(link, Epoch(key_id.epoch + self._fresh_epochs)))

    def _next_update(self) -> Secret:
        if not self._prepared:
            return make_update(self._random)
        prepared = self._prepared[self._made % len(self._prepared)]
        self._made += 1
        # A copy: what is consumed is erased, and this one comes round.
        return Secret(prepared.reveal())


def schedule_of(spec: ChannelSpec, random: Random) -> KeySchedule:
    """Return the schedule that a channel's policy names."""
    if spec.schedule is ScheduleKind.CHAIN:
        return ChainSchedule(spec.suite, random, fresh_epochs=spec.fresh_epochs, cycle=spec.cycle)
    return FetchSchedule(spec.suite, random)


def chained_tek(
    link: Link, fresh_at: Epoch, follows: KeyId | None = None, update: Secret | None = None
) -> Tek:
    """Return the TEK of a link, with its origin."""
    tek = link.tek()
    return Tek(tek.key_id, tek.suite, tek.key, tek.salt, Origin(link.secret, fresh_at, follows, update))


def link_of(tek: Tek) -> Link | None:
    """Return the link of a key; None if it is no chain's, or its C was erased."""
    if tek.origin is None or not len(tek.origin.link):
        return None
    return Link(tek.key_id, tek.suite, tek.origin.link)


def is_chained(tek: Tek) -> bool:
    """Whether a key follows from another: it is of a chain, and no fresh start."""
    return tek.origin is not None and tek.origin.follows is not None


def follow(before: Tek, key_id: KeyId, update: Secret) -> Tek:
    """Return the key that follows from `before` by Ku; `before` stays as it is, to be erased by its owner.

    `update` becomes the key's own, and is erased with it. About 15 µs.
    Raises FormatError if nothing follows from it: no C, another channel, a key ID that does not rise, or one
    from which the next fresh start is due.
    """
    link = link_of(before)
    if link is None or before.origin is None:
        raise FormatError(f"nothing follows from the key {before.key_id}: its link is not held")
    is_next = key_id.channel == before.key_id.channel and before.key_id.epoch < key_id.epoch
    if not is_next or key_id.epoch >= before.origin.fresh_at or len(update) != UPDATE_BYTES:
        raise FormatError(f"the key {key_id} does not follow from {before.key_id}")
    return chained_tek(link.follow(update, key_id), before.origin.fresh_at, before.key_id, update)


def follow_update(before: Tek, update: Update) -> Tek:
    """Return the key to which an update leads that came over the air.

    Raises FormatError if it does not follow from `before`, AuthenticationError if it was not wrapped for it.
    """
    link = link_of(before)
    if link is None or update.follows != before.key_id:
        raise FormatError(f"an update that follows {update.follows}, which is not held with its link")
    return follow(before, update.key_id, link.unwrap(update.wrapped))


def check_origin(tek: Tek) -> None:
    """Raise FormatError or AuthenticationError unless a key is the one that its link gives, in its chain."""
    link = link_of(tek)
    if link is None or len(link.secret) != CHAIN_BYTES:
        raise FormatError(f"the key {tek.key_id} has no link of {CHAIN_BYTES} bytes")
    if tek.origin is None or tek.origin.fresh_at <= tek.key_id.epoch:
        raise FormatError(f"the key {tek.key_id} lies beyond the end of its chain")
    if link.tek() != tek:
        raise AuthenticationError(f"the key {tek.key_id} is not the one of its link")
