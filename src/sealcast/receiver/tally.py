"""Owns what all sinks have in common: the count of bytes and, if wanted, their digest."""

import errno
import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sealcast.receiver.values import Slab

DIGEST_BYTES = 1 << 20
"""Digested at once: few changes of thread, and little held."""

DIGEST_PIECES_MAX = 32
"""When so many pieces wait, whoever adds another waits too: memory does not grow with a slow processor."""


class Tally:
    """Counts what a sink accepted, and its digest if wanted."""

    def __init__(self, *, digest: bool) -> None:
        self.written_bytes = 0
        self.dropped_bytes = 0
        self._digest = Digest() if digest else None

    def sha256(self) -> str | None:
        """Return the digest of the accepted bytes in hex, or None if it was not asked for."""
        return None if self._digest is None else self._digest.hexdigest()

    def accept(self, data: bytes | memoryview) -> None:
        """Count bytes that the sink took."""
        self.written_bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)


class Digest:
    """A SHA-256 in a thread of its own: at 2 Gbit/s it takes a core's half, and leaves Python to others."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="digest")
        self._held: list[bytes | memoryview] = []
        self._held_bytes = 0
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes | memoryview) -> None:
        """Take bytes, which nobody changes any more."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= DIGEST_BYTES:
            self._pass_on()

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, once it is known."""
        self._pass_on()
        while self._waiting:
            self._waiting.popleft().result()
        return self._sha256.hexdigest()

    def _pass_on(self) -> None:
        pieces, self._held, self._held_bytes = self._held, [], 0
        if pieces:
            self._waiting.append(self._thread.submit(self._sha256.update, b"".join(pieces)))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > DIGEST_PIECES_MAX):
            self._waiting.popleft().result()


def join_slabs(slabs: Sequence[Slab]) -> bytes:
    """Return all payloads, one behind the other; a single slab is not copied."""
    return slabs[0].data if len(slabs) == 1 else b"".join(slab.data for slab in slabs)


def explain_write(error: OSError) -> str:
    """Return why writing failed, in words to stand behind the file's name."""
    if error.errno == errno.ENOENT:
        return "its directory does not exist; make it first"
    return (error.strerror or str(error)).lower()
