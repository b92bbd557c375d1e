"""Owns what a receiver's session gives to its edge: payloads, a request to make, a snapshot for people."""

from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.ids import Epoch, KeyId, PacketIndex


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A key request to make: `channel` by name or number, the key ID seen if any, the keys held.

    `announced` is the key that the stream says comes next, if it says so.
    """

    channel: str
    key_id: str | None
    held: tuple[str, ...]
    announced: str | None = None

    def is_short(self, granted: Iterable[str]) -> bool:
        """Whether an answer with these keys lacks one that is there: another key server may have it."""
        wanted = {self.key_id, self.announced} - {None}
        return not wanted <= {*granted, *self.held}


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What a person watching a receiver wants to know, and its key server.

    `key_id` is that of the key on air; `last_index` the SRTP index of the last packet opened.
    """

    channel: str | None
    key_id: KeyId | None
    last_index: PacketIndex | None
    holds_next: bool
    remaining_ms: int
    extended: bool
    lost: int
    held_back: int
    first_opened_ns: int | None
    joined_at_roc: int | None

    @property
    def epoch(self) -> Epoch | None:
        """The epoch on air."""
        return self.key_id.epoch if self.key_id else None


@dataclass(slots=True)
class Slab:
    """Payloads, one behind the other in `data`, each `payload_bytes` long, the last maybe shorter.

    A memoryview is the session's own buffer: good until it is given more to open.
    """

    data: bytes | memoryview
    payload_bytes: int

    def payloads(self) -> list[bytes]:
        """Return them one by one, to keep."""
        if len(self.data) <= self.payload_bytes:
            return [bytes(self.data)]
        size = self.payload_bytes
        return [bytes(self.data[at : at + size]) for at in range(0, len(self.data), size)]
