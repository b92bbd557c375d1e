"""Decides which run slots a sender gets: those it has not consumed, and fresh ones up to `RUN_SLOTS`."""

from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.ids import U32_MAX, Epoch, Ssrc
from sealcast.core.ports import Random
from sealcast.keys.lease import RUN_SLOTS, RunSlot
from sealcast.keyserver.values import EpochRow, refusal

NO_RECORD = U32_MAX
"""As `first_unused`: the sender has no record of any slot (`messages.requests.LeaseRequest`)."""

PASSED_OVER_MAX = 1 << 20
"""Epochs given after the backup that a database was restored from: more were never given in one's life, and
a sender that names more would burn the channel's."""

SSRC_TRIES_MAX = 1_000
"""A random SSRC is taken already about once in a million; so many in a row mean a broken generator."""


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """`kept` were given before, `fresh` are new; the sender has consumed all below `first_unused`."""

    kept: tuple[EpochRow, ...]
    fresh: tuple[RunSlot, ...]
    first_unused: int

    @property
    def slots(self) -> tuple[RunSlot, ...]:
        """All slots of the lease, in order."""
        return tuple(RunSlot(row.ssrc, row.epoch) for row in self.kept) + self.fresh

    @property
    def published(self) -> tuple[Epoch, ...]:
        """Epochs among them whose key we hold; none was ever on air."""
        return tuple(row.epoch for row in self.kept if row.has_key)


def plan_lease(
    live: Iterable[EpochRow],
    sender: str,
    first_unused: int,
    *,
    next_epoch: int,
    taken: frozenset[int],
    random: Random,
    held: frozenset[int] | None = None,
    floor: int = 0,
) -> LeasePlan:
    """Return the lease of `sender`, whose slots below `first_unused` are consumed.

    Of the slots given before, those in `held` come back, all that are free if it is None. What another run
    of this sender got, or an answer that was lost brought, is not in the record of the one that asks.

    `first_unused` `NO_RECORD` says that the sender remembers no slot. It may have lost what it knew of those
    it used, so none that it had comes back: better 16 epochs lost than a nonce used twice. Epochs from
    `next_epoch` on were never given, unless our database is older than the sender's memory (a restored
    backup): then those that it remembers are passed over, `PASSED_OVER_MAX` at most. `taken` are the
    channel's SSRCs so far. No slot is given below `floor`, a fence that is not reached: a removed device may
    have the key. Raises the refusals `bad-request` and `not-leased`.
    """
    if not 0 <= first_unused <= NO_RECORD:
        raise refusal("bad-request", "first_unused is a u32")
    if first_unused == NO_RECORD:
        first_unused = next_epoch
    if first_unused > next_epoch + PASSED_OVER_MAX:
        raise refusal(
            "bad-request",
            f"first_unused {first_unused} is far beyond every epoch of this channel, {next_epoch} is next: "
            "the sender's slot file is of another channel or damaged; remove it",
        )
    next_epoch = max(next_epoch, first_unused, floor)
    kept = tuple(
        row
        for row in live
        if row.sender == sender
        and row.epoch >= max(first_unused, floor)
        and row.is_free
        and (held is None or row.epoch in held)
    )
    missing = max(0, RUN_SLOTS - len(kept))
    if next_epoch + missing > U32_MAX:
        raise refusal("not-leased", "this channel has used up all its epochs; add it anew under another name")
    fresh: list[RunSlot] = []
    for epoch in range(next_epoch, next_epoch + missing):
        ssrc = fresh_ssrc(taken | {slot.ssrc for slot in fresh}, random)
        fresh.append(RunSlot(ssrc, Epoch(epoch)))
    return LeasePlan(kept, tuple(fresh), first_unused)


def fresh_ssrc(taken: frozenset[int], random: Random) -> Ssrc:
    """Return a random SSRC (RFC 3550 §8) that the channel never had; 0 is left out."""
    for _ in range(SSRC_TRIES_MAX):
        ssrc = 1 + random.below(U32_MAX)
        if ssrc not in taken:
            return Ssrc(ssrc)
    raise refusal("internal", "no free SSRC found; the random generator repeats itself")
