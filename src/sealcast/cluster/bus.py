"""Owns the port to the bus between servers: entries that master publishes, journals that replicas submit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """The newest entry of a name; `is_last` if nothing newer waits: whoever watches has caught up."""

    name: str
    data: bytes
    sequence: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Submitted:
    """A batch that a replica submitted; it comes again until `done` was awaited."""

    data: bytes
    done: Callable[[], Awaitable[None]]


class Bus(Protocol):
    """Carries bytes between servers; they are sealed before and opened after (`cluster.sealing`).

    All methods raise UnreachableError while the bus does not answer; it reconnects by itself.
    """

    async def last_sequence(self) -> int:
        """Return the sequence of the newest entry of all, 0 if there is none yet."""
        ...

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Publish `(name, data)` in their order, the first right after the sequence `after`; return the last.

        Returns once all are durable. Raises FencedError if anybody else has published since `after`; some of
        the entries may stand then, which is why each is whole in itself.
        """
        ...

    def watch(self) -> AsyncIterator[Delivered]:
        """Give the newest entry of every name in the order of publication, then each new one as it comes.

        Over a connection that breaks it begins anew with all that is newer than what it gave.
        """
        ...

    async def submit(self, replica: str, message_id: str, data: bytes) -> None:
        """Hand in a batch of a journal; returns once it is durable. The same `message_id` counts once."""
        ...

    def journal(self) -> AsyncIterator[Submitted]:
        """Give the batches that were handed in, oldest first; those of one replica keep their order."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...
