"""Owns which key server each receiver of a day asks: by its client's own choice, past those that are out.

```
most receivers    their shares of the servers: counted once, by the id of each, or even under `round-robin`
in an outage      each by itself: `client.choosing` says whom it asks, and whom when that one says nothing
```
A server that is out is mute: who asks it loses its patience, and asks the next one.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from sealcast.bench.lives import Draws
from sealcast.bench.seconds import per_second, zeros
from sealcast.client.choosing import Choice, Servers, rank
from sealcast.core.channel import parse_duration_ms
from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.testing import SimRandom

MINUTE_MS = 60_000
OUTAGE_MS_MIN, OUTAGE_MS_MAX = MINUTE_MS, 30 * MINUTE_MS
"""As long are outages that are drawn: from a restart to a repair."""

TRIES_MAX = 100
"""Drawn outages that would leave no server are drawn anew, so often."""


@dataclass(frozen=True, slots=True, order=True)
class Outage:
    """One server, numbered from 1, says nothing from `begin_ms` to before `end_ms` of the day."""

    begin_ms: int
    end_ms: int
    replica: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1@03:00+10m`: the server, when of the day, how long; raises UsageError."""
        replica, _, rest = text.partition("@")
        at, _, length = rest.partition("+")
        hours, _, minutes = at.partition(":")
        if not all(part.isascii() and part.isdigit() for part in (replica, hours, minutes)):
            raise UsageError(f"not an outage: {text!r}; write for instance 1@03:00+10m")
        begin_ms = (int(hours) * 60 + int(minutes)) * MINUTE_MS
        return cls(begin_ms, begin_ms + parse_duration_ms(length), int(replica))


def draw_outages(count: int, replicas: int, duration_ms: int, draws: Draws) -> list[Outage]:
    """Return so many outages of a day, at least one server being there at any time; raises UsageError."""
    outages: list[Outage] = []
    for _ in range(TRIES_MAX * count):
        if len(outages) == count:
            return outages
        begin_ms = draws.below(duration_ms)
        length_ms = OUTAGE_MS_MIN + draws.below(OUTAGE_MS_MAX - OUTAGE_MS_MIN)
        drawn = [*outages, Outage(begin_ms, begin_ms + length_ms, 1 + draws.below(replicas))]
        if _leaves_one(drawn, replicas):
            outages = drawn
    if len(outages) < count:
        raise UsageError("so many outages leave no replica at some time; draw fewer, or have more replicas")
    return outages


def seeded_outages(count: int, replicas: int, duration_ms: int, seed: int) -> list[Outage]:
    """Return the outages of `draw_outages` that belong to a seed."""
    return draw_outages(count, replicas, duration_ms, Draws(SimRandom(seed).fork("outages")))


def _leaves_one(outages: Sequence[Outage], replicas: int) -> bool:
    """Whether a server is there at any time: it is enough to look at each outage's beginning."""
    return all(
        len({each.replica for each in outages if each.begin_ms <= first.begin_ms < each.end_ms}) < replicas
        for first in outages
    )


@dataclass(slots=True)
class Load:
    """One key server: what each millisecond of the epoch brought, what comes after it, and each second."""

    counts: "array[int]"
    after: list[int] = field(default_factory=list)
    per_s: "array[int]" = field(default_factory=lambda: zeros(0))

    def put(self, at_ms: int) -> None:
        """Count a request, in this epoch or for a later one."""
        if at_ms < len(self.counts):
            self.counts[at_ms] += 1
        else:
            self.after.append(at_ms)

    def close_epoch(self) -> None:
        """Begin the next epoch, with what was put for it already."""
        length_ms = len(self.counts)
        self.per_s.extend(per_second(self.counts))
        self.counts, after, self.after = zeros(length_ms), self.after, []
        for at_ms in after:
            self.put(at_ms - length_ms)


class Sites:
    """The key servers of a day. Counting receivers by their id takes about 4 µs each, once."""

    def __init__(
        self, receivers: int, loads: Sequence[Load], choice: Choice, outages: Sequence[Outage], draws: Draws
    ) -> None:
        """Count; raises UsageError for an outage of a server that is not there, or of all at one time."""
        replicas = len(loads)
        if any(not 1 <= outage.replica <= replicas for outage in outages):
            raise UsageError(f"an outage is of one of the replicas, 1 to {replicas}")
        if not _leaves_one(outages, replicas):
            raise UsageError("at some time no key server is left; a sender would go on under its key then")
        self.loads, self._choice, self._outages, self._draws = loads, choice, sorted(outages), draws
        self._urls = [f"https://replica-{number}.example:8443" for number in range(1, replicas + 1)]
        self._number = {url: number for number, url in enumerate(self._urls)}
        self._receivers = receivers
        self._homes = self._count_homes()
        self.moved = 0
        """Requests that went elsewhere, since the server asked first was out."""

    def shares(self, receivers: int) -> Iterator[tuple[int, int]]:
        """Give each server's number, and how many of so many receivers ask it first."""
        if not self._homes:
            yield from ((i, _part(receivers, i, len(self.loads))) for i in range(len(self.loads)))
            return
        before = asking = 0
        for number, home in enumerate(self._homes):
            before += len(home)
            upto = receivers * before // self._receivers
            yield number, upto - asking
            asking = upto

    def is_disturbed(self, begin_ms: int, end_ms: int) -> bool:
        """Whether any server is out at some time between."""
        return any(outage.begin_ms < end_ms and begin_ms < outage.end_ms for outage in self._outages)

    def ask(self, first: int, at_ms: int, epoch_ms: int) -> None:
        """Have a receiver that asks server `first` do so, `at_ms` into the epoch that began at `epoch_ms`."""
        if not self._is_out(first, epoch_ms + at_ms):
            self.loads[first].put(at_ms)
            return
        self.moved += 1
        servers = self._servers_of(first)
        for url in servers.order(0):
            number = self._number[url]
            if not self._is_out(number, epoch_ms + at_ms):
                self.loads[number].put(at_ms)
                return
            at_ms += servers.patience_ns // NS_PER_MS

    def _servers_of(self, first: int) -> Servers:
        """Return how some receiver chooses that asks server `first` first."""
        if self._homes:
            party = self._homes[first][self._draws.below(len(self._homes[first]))]
            return Servers(_name(party), self._urls, self._choice, self._draws)
        name = _name(self._draws.below(self._receivers))
        servers = Servers(name, self._urls, self._choice, self._draws)
        while self._number[servers.present] != first:
            servers.order(0)  # Until its turn comes to that one.
        return servers

    def _is_out(self, number: int, at_ms: int) -> bool:
        return any(
            outage.replica == number + 1 and outage.begin_ms <= at_ms < outage.end_ms
            for outage in self._outages
        )

    def _count_homes(self) -> list["array[int]"]:
        """Return which receivers ask each server first; nothing if that is anybody's turn."""
        if self._choice is not Choice.FIXED or len(self._urls) == 1:
            return []
        homes = [array("I") for _ in self._urls]
        for party in range(self._receivers):
            homes[self._number[rank(_name(party), self._urls)[0]]].append(party)
        return homes


def _name(party: int) -> str:
    return f"TV-{party:07}"


def _part(receivers: int, number: int, parts: int) -> int:
    return receivers * (number + 1) // parts - receivers * number // parts
