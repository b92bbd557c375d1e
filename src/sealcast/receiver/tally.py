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
        self._piece = memoryview(bytearray(DIGEST_BYTES))
        self._held_bytes = 0
        self._waiting: deque[tuple[Future[None], memoryview]] = deque()
        self._spare: list[memoryview] = []

    def update(self, data: bytes | memoryview) -> None:
        """Take bytes, which are copied: their owner may use their place again."""
        data = memoryview(data)
        while data:
            begin = self._held_bytes
            taken = min(len(data), DIGEST_BYTES - begin)
            self._piece[begin : begin + taken] = data[:taken]
            self._held_bytes += taken
            data = data[taken:]
            if self._held_bytes == DIGEST_BYTES:
                self._pass_on()

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, once it is known."""
        self._pass_on()
        while self._waiting:
            self._take_back()
        return self._sha256.hexdigest()

    def _pass_on(self) -> None:
        """Have the thread digest what is held, and go on with memory that it is done with."""
        piece, held_bytes = self._piece, self._held_bytes
        if held_bytes:
            self._waiting.append((self._thread.submit(self._sha256.update, piece[:held_bytes]), piece))
        while self._waiting and (self._waiting[0][0].done() or len(self._waiting) > DIGEST_PIECES_MAX):
            self._take_back()
        self._held_bytes = 0
        self._piece = self._spare.pop() if self._spare else memoryview(bytearray(DIGEST_BYTES))

    def _take_back(self) -> None:
        future, piece = self._waiting.popleft()
        future.result()
        self._spare.append(piece)


def join_slabs(slabs: Sequence[Slab]) -> bytes | memoryview:
    """Return all payloads, one behind the other; a single slab is not copied."""
    return slabs[0].data if len(slabs) == 1 else b"".join(slab.data for slab in slabs)


def explain_write(error: OSError) -> str:
    """Return why writing failed, in words to stand behind the file's name."""
    if error.errno == errno.ENOENT:
        return "its directory does not exist; make it first"
    return (error.strerror or str(error)).lower()
