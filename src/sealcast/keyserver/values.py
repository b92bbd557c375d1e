"""Owns the values that decisions are made on: an epoch as stored, a channel as it is known, a no."""

from dataclasses import dataclass
from functools import cached_property

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RefusedError
from sealcast.core.ids import Epoch, Ssrc
from sealcast.keys.table import KeyState
from sealcast.messages.answers import SenderKey
from sealcast.messages.problems import STATUS_OF


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch that was given to a sender: its slot, and where it stands in its life.

    Of a chain, `fresh_at` is the epoch of its next fresh start, which no other chain of the channel shares,
    and `follows` the epoch before, None at a fresh start.
    """

    epoch: Epoch
    sender: str
    ssrc: Ssrc
    consumed: bool
    state: KeyState
    has_key: bool
    off_air_at_ms: int | None = None
    follows: Epoch | None = None
    fresh_at: Epoch | None = None

    @property
    def is_free(self) -> bool:
        """Whether its sender may still start or go on with it."""
        return not self.consumed and self.state in {KeyState.PLANNED, KeyState.PUBLISHED}

    @property
    def has_link(self) -> bool:
        """Whether we hold its C: it goes when the epoch is off the air, before the key itself."""
        return self.has_key and self.fresh_at is not None and self.state is not KeyState.DRAINING


@dataclass(frozen=True, slots=True)
class Fence:
    """Epochs below `epoch` go on air no more, but that which is.

    If urgent, that one ends as soon as receivers had `window_ms` to fetch the next key. `is_commanded` if the
    operator ordered it, and no device was removed.
    """

    epoch: Epoch
    is_urgent: bool
    window_ms: int
    is_commanded: bool = False


@dataclass(frozen=True)
class ChannelView:
    """A live channel with its epochs that are not retired, in order, and the public keys of its senders.

    `senders` are those that may lease it; while there are none, nobody may. `fences` are those that no epoch
    on air has reached yet.
    """

    spec: ChannelSpec
    senders: tuple[str, ...]
    sender_keys: tuple[SenderKey, ...]
    epochs: tuple[EpochRow, ...]
    fences: tuple[Fence, ...] = ()

    @cached_property
    def floor(self) -> int:
        """The lowest epoch that may still go on air, as far as fences say."""
        return max((fence.epoch for fence in self.fences), default=0)

    @cached_property
    def on_air(self) -> EpochRow | None:
        """The epoch on air."""
        return next((row for row in self.epochs if row.state is KeyState.ACTIVE), None)

    @cached_property
    def chains(self) -> frozenset[Epoch]:
        """The chains of its epochs, each named by its next fresh start."""
        return frozenset(row.fresh_at for row in self.epochs if row.fresh_at is not None)

    @cached_property
    def _by_epoch(self) -> dict[int, EpochRow]:
        return {row.epoch: row for row in self.epochs}

    def find(self, epoch: int) -> EpochRow | None:
        """Return one epoch, if it was given out and is not retired."""
        return self._by_epoch.get(epoch)

    def has_key(self, epoch: int) -> bool:
        """Whether we hold the key of an epoch."""
        row = self.find(epoch)
        return row is not None and row.has_key


def refusal(name: str, detail: str) -> RefusedError:
    """Return the no of that name (`messages.problems`); it is raised before anything is written."""
    return RefusedError(name, detail, int(STATUS_OF[name]))
