"""Decides who is master: when the lease may be taken, when it is renewed, when its holder has lost it.

```
        free: expired, given up, or of a server of our name          renewed every quarter
none ──────────────────── take: term + 1 ───────────────────► held ─────────────────────┐
  ▲                                                            │ ▲                       │
  └── not renewed for a whole lease, or another term stands ───┘ └───────────────────────┘
```
The holder counts from before it asked, by its own monotonic clock; whoever waits goes by the database's clock
and begins later. So the holder knows that it has lost the lease before anybody else may take it; what it does
not know in time, the term finds out: each transaction and each publication checks it.
"""

import math
from dataclasses import dataclass

from sealcast.core.ports import NS_PER_MS

RENEWALS = 4
"""In one lease: two may fail, and a third is on its way, before it is lost."""

LOOKS = 10
"""In one lease, by those who wait: a lease that was given up is taken within a second."""

WORDS = 2
"""In one lease, at least, of a server that stands by and reaches the bus; without them it counts for none."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who is master: `expires_at_ms` is by the database's clock, 0 if the holder gave it up.

    `version` is that of the last round of publication, over all terms. `urls` are the holder's. What was
    published stands on the bus up to `whole_to`, 0 while not everything was.
    """

    term: int
    version: int
    holder: str
    urls: tuple[str, ...]
    expires_at_ms: int
    whole_to: int = 0

    def is_free_for(self, name: str, now_ms: int) -> bool:
        """Whether the server of that name may take it: nobody holds it, or that server itself, before."""
        return self.holder == name or self.expires_at_ms <= now_ms


def lacks_bus(unheard_ms: int, lease_ms: int) -> bool:
    """Whether a master lacks the bus, which has not answered for so long: as long as a lease lasts."""
    return unheard_ms >= lease_ms


def next_version(version: int, now_ms: int) -> int:
    """Return the version of the next round: higher than all before, also than those a backup forgot.

    It follows the wall clock, so that a database that was restored does not begin below what replicas have.
    """
    return max(version + 1, now_ms)


class Tenure:
    """The time for which a lease is held, by the holder's monotonic clock (ns)."""

    __slots__ = ("_due_ns", "_lease_ns", "_until_ns")

    def __init__(self, lease_ms: int, asked_ns: int) -> None:
        """Begin: the lease was asked for at `asked_ns`, and was given."""
        self._lease_ns = lease_ms * NS_PER_MS
        self.renewed(asked_ns)

    def renewed(self, asked_ns: int) -> None:
        """Note that the lease was renewed; it was asked for at `asked_ns`."""
        self._until_ns = asked_ns + self._lease_ns
        self._due_ns = asked_ns + self._lease_ns // RENEWALS

    def failed(self, now: int) -> None:
        """Note that it was not; it is tried again soon."""
        self._due_ns = now + self._lease_ns // (2 * RENEWALS)

    def is_over(self, now: int) -> bool:
        """Whether anybody may have taken the lease by now."""
        return now >= self._until_ns

    def left_s(self, now: int) -> float:
        """Return for how long the lease is surely held."""
        return max(0, self._until_ns - now) / 1e9

    def wait_s(self, now: int) -> float:
        """Return how long to wait before it is renewed, or over; 0 if that is due."""
        return max(0, min(self._due_ns, self._until_ns) - now) / 1e9


def look_s(lease_ms: int) -> float:
    """Return how often whoever waits looks whether the lease is free."""
    return math.ceil(lease_ms / LOOKS) / 1_000
