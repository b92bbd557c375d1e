"""Owns the memory of key requests decided lately: a repeat gets the same epochs, and adds no record.

It is in memory alone, and bounded: a grant is unique by device, channel and epoch in the database, so a
request that is forgotten here and comes again is answered like a new one, and recorded once all the same. For
the same reason nothing is forgotten when work was undone: a repeat records its grants before any key leaves.
"""

from typing import Generic, TypeVar

REMEMBERED_MAX = 20_000
"""Requests of one generation, about 500 bytes each; there are two, so that the older half goes at once."""

Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """What was decided, by caller and `jti`. The writer's thread alone uses it."""

    def __init__(self, remembered_ms: int) -> None:
        """Keep each for `remembered_ms` at most, and at least half of it while there is room."""
        self._half_ms = remembered_ms // 2
        self._young: dict[tuple[str, str], tuple[bytes, Kept]] = {}
        self._old: dict[tuple[str, str], tuple[bytes, Kept]] = {}
        self._began_ms = 0

    def find(self, caller: str, jti: str, wall_ms: int) -> tuple[bytes, Kept] | None:
        """Return the digest of a request and what was decided on it."""
        self._age(wall_ms)
        return self._young.get((caller, jti)) or self._old.get((caller, jti))

    def keep(self, caller: str, jti: str, digest: bytes, kept: Kept) -> None:
        """Remember a decision."""
        self._young[caller, jti] = digest, kept

    def _age(self, wall_ms: int) -> None:
        """Drop the older half when the younger is full or old, or when the clock was set."""
        age_ms = wall_ms - self._began_ms
        if 0 <= age_ms < self._half_ms and len(self._young) < REMEMBERED_MAX:
            return
        is_fresh = 0 <= age_ms < 2 * self._half_ms
        self._old = self._young if is_fresh else {}
        self._young, self._began_ms = {}, wall_ms
