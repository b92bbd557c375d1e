"""Owns the table of decoders of foreign bytes: what reads them, which errors are its right, what is valid.

A target takes any bytes and returns, or raises one of its errors; anything else is a fault. Its seeds are
what the decoder accepts. `make test` replays seeds and corpus, `make soak` searches on from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sealcast.core.errors import LocalError, RemoteError

Read = Callable[[bytes], object]
CORPUS = Path(__file__).parent / "corpus"
INPUT_BYTES_MAX = 4_096
"""Longer inputs cost time and say nothing that short ones do not."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder: `errors` is what it may raise, `seeds` are inputs that it takes without any."""

    read: Read
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> None:
        """Read; whatever is not one of the target's errors goes through."""
        try:
            self.read(data)
        except self.errors:
            return


def remote(read: Read, *seeds: bytes) -> Target:
    """Return a target for what comes from the network: it raises RemoteErrors and nothing else."""
    return Target(read, (RemoteError,), seeds)


def local(read: Read, *seeds: bytes) -> Target:
    """Return a target for files and settings: it raises LocalErrors, of which UsageError is one."""
    return Target(read, (LocalError,), seeds)


@cache
def all_targets() -> dict[str, Target]:
    """Return all targets by name; the parts are imported here, so that a fuzzer can instrument them."""
    from fuzz import (  # noqa: PLC0415
        targets_files,
        targets_messages,
        targets_receiver,
        targets_scrambled,
        targets_streams,
        targets_updates,
        targets_wire,
    )

    parts = (
        targets_wire,
        targets_messages,
        targets_files,
        targets_streams,
        targets_receiver,
        targets_scrambled,
        targets_updates,
    )
    return {name: target for part in parts for name, target in part.targets().items()}


def corpus(name: str) -> list[Path]:
    """Return the files of a target's corpus."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


class Script:
    """Reads an input as a list of choices, for targets that are driven rather than fed; zeros at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, count_bytes: int = 1) -> int:
        """Return the next number, big-endian."""
        return int.from_bytes(self.take(count_bytes).ljust(count_bytes, b"\0"), "big")

    def take(self, count_bytes: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        self._at += count_bytes
        return self._data[self._at - count_bytes : self._at]

    def chunk(self) -> bytes:
        """Return some bytes, whose length stands before them."""
        return self.take(self.number())
