"""Owns what all sinks have in common: the count of bytes and, if wanted, their digest."""

import errno
import hashlib
from collections.abc import Sequence

from sealcast.receiver.values import Slab


class Tally:
    """Counts what a sink accepted, and its digest if wanted."""

    def __init__(self, *, digest: bool) -> None:
        self.written_bytes = 0
        self.dropped_bytes = 0
        self._digest = hashlib.sha256() if digest else None

    def sha256(self) -> str | None:
        """Return the digest of the accepted bytes in hex, or None if it was not asked for."""
        return None if self._digest is None else self._digest.hexdigest()

    def accept(self, data: bytes | memoryview) -> None:
        """Count bytes that the sink took."""
        self.written_bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)


def join_slabs(slabs: Sequence[Slab]) -> bytes:
    """Return all payloads, one behind the other; a single slab is not copied."""
    return slabs[0].data if len(slabs) == 1 else b"".join(slab.data for slab in slabs)


def explain_write(error: OSError) -> str:
    """Return why writing failed, in words to stand behind the file's name."""
    if error.errno == errno.ENOENT:
        return "its directory does not exist; make it first"
    return (error.strerror or str(error)).lower()
