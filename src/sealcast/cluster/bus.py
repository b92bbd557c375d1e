"""Owns the port to the bus between servers: entries that master publishes, journals that replicas submit."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
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
    """A batch that `replica` submitted, as the bus has it; it comes again until `done` was awaited.

    `done` raises UnreachableError if the bus does not answer; the batch then comes again as well.
    """

    replica: str
    data: bytes
    done: Callable[[], Awaitable[None]]


class Bus(Protocol):
    """Carries bytes between servers; they are sealed before and opened after (`cluster.sealing`).

    Methods raise UnreachableError while the bus does not answer; it reconnects by itself. `watch` and
    `journal` wait instead, and end when it is closed.
    """

    async def last_sequence(self) -> int:
        """Return the sequence of the newest entry of all, 0 if there is none yet."""
        ...

    async def entry_at(self, sequence: int) -> bytes | None:
        """Return the entry at a sequence, None if none stands there, or not any more."""
        ...

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Publish `(name, data)` in their order, the first right after the sequence `after`; return the last.

        Returns once all are durable. Raises FencedError if anybody else has published since `after`, or the
        bus has lost what it had; what this server published itself without hearing of it fences nobody.
        Whatever is raised, the first of the entries may stand, which is why each is whole in itself.
        """
        ...

    def watch(self) -> AsyncGenerator[Delivered, None]:
        """Give the newest entry of every name in the order of publication, then each new one as it comes.

        Over a connection that breaks it goes on with all that is newer than what it gave, and begins anew on
        a bus that has lost what it had. The same entry may come twice.
        """
        ...

    async def submit(self, replica: str, message_id: str, data: bytes) -> None:
        """Hand in a batch of a journal; returns once it is durable. The same `message_id` counts once."""
        ...

    def journal(self) -> AsyncGenerator[Submitted, None]:
        """Give the batches that were handed in, oldest first, the next only after `done` of the one before.

        A batch that was not done comes again, some seconds later.
        """
        ...

    async def journal_batches(self) -> int:
        """Return how many batches were handed in and are not done."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...
