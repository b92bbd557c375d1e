"""Owns what a receiver's session gives to its edge: payloads, a request to make, a snapshot for people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A key request to make: `channel` by name or number, the key ID seen if any, the keys held."""

    channel: str
    key_id: str | None
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What a person watching a receiver wants to know."""

    channel: str | None
    epoch: int | None
    holds_next: bool
    remaining_ms: int
    extended: bool
    lost: int
    held_back: int
    first_opened_ns: int | None
    joined_at_roc: int | None


@dataclass(slots=True)
class Slab:
    """Payloads, one behind the other in `data`, each `payload_bytes` long, the last maybe shorter."""

    data: bytes
    payload_bytes: int

    def payloads(self) -> list[bytes]:
        """Return them one by one."""
        if len(self.data) <= self.payload_bytes:
            return [self.data]
        size = self.payload_bytes
        return [self.data[at : at + size] for at in range(0, len(self.data), size)]
