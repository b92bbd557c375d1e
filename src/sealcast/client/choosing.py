"""Owns which of its operator's key servers a party asks first, and which it leaves alone for a while (S1-7).

```
lists    announced (by a grant or lease) ─► named (by the credential) ─► hinted (by a stream): each is a
         resort for when those before it do not answer
choice   fixed: by the party's id · round-robin: the next one each time · listed: in order, and stay
health   answers ──fails──► shut, 1 s doubling to 30 s, half of it random ──over──► one trial ──► answers
```
A server that is shut is asked last, not never: while one is healthy it is asked, and if none is, all are. A
server that said when to come back (`Retry-After`) is left alone until then as long as there is another.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sealcast.client.limits import SERVERS_MAX
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random

SHUT_NS = NS_PER_S
SHUT_NS_MAX = 30 * NS_PER_S
"""After failures in a row a server is asked last for this long: it is missed for half a minute at most."""

SHUT_LOG2_MAX = 8
"""No power of two beyond it is worked out."""

LACKING_NS = 2 * NS_PER_S
"""A server without a key that is on the air is behind the others; a second try comes sooner than this."""

BUSY_NS = NS_PER_S
"""A server that is too busy to say for how long."""

BUSY_JITTER_PARTS = 4
"""Up to a quarter longer than a busy server asked for: what it told many at once does not bring them back."""

TRIAL_NS = 3 * NS_PER_S
"""One request tries a server that failed before; others do so only when that one took longer than this."""

PATIENCE_NS_MIN = 500 * NS_PER_MS
"""A key server answers in milliseconds: from here on it is worth asking another one as well."""

PATIENCE_NS_MAX = 2 * NS_PER_S
"""With a satellite in between an answer takes a second or two; a fetch window is seldom much longer."""

PATIENCE_FACTOR = 3
"""How many times what answers usually take is waited before another server is asked as well."""

TURNS = 720_720
"""A multiple of each number of servers there may be, so that all are alike as the first one."""

USUAL_PARTS = 4
"""What answers usually take moves by this part towards each new one."""


class Choice(StrEnum):
    """How a party chooses among its key servers."""

    FIXED = "fixed"
    ROUND_ROBIN = "round-robin"
    LISTED = "listed"


@dataclass(slots=True)
class _Health:
    """What is known of one server; it is shut until `again_ns`, or wants to be left alone until then."""

    failures: int = 0
    again_ns: int = 0
    is_busy: bool = False


def rank(party: str, servers: Iterable[str]) -> list[str]:
    """Return the servers in the order that is `party`'s own (rendezvous hashing). 1 µs for each.

    Parties are spread evenly over first places, and those of one first place evenly over the second. A
    server that is added takes its share from each of the others and moves nobody else.
    """
    return sorted(servers, key=lambda server: (_weight(party, server), server), reverse=True)


def _weight(party: str, server: str) -> bytes:
    return hashlib.blake2b(f"{party}\0{server}".encode(errors="surrogatepass"), digest_size=8).digest()


class Servers:
    """The key servers of one party. `order` says whom to ask, the `handle_*` take what came of it."""

    def __init__(self, party: str, named: Sequence[str], choice: Choice, random: Random) -> None:
        """`party` is the id by which `fixed` chooses; `named` are the addresses of its credential."""
        self._party, self._choice, self._random = party, choice, random
        self._named = list(named)
        self._announced: list[str] = []
        self._hinted: list[str] = []
        self._health: dict[str, _Health] = {}
        self._present: str | None = None
        self._turn = random.below(TURNS) if choice is Choice.ROUND_ROBIN else 0
        self._usual_ns = 0

    @property
    def present(self) -> str:
        """The server that answered last; before any answer the one that is asked first."""
        return self._present or self._preferred(self._turn)[0]

    @property
    def patience_ns(self) -> int:
        """How long to wait for an answer before another server is asked as well."""
        return min(max(PATIENCE_NS_MIN, PATIENCE_FACTOR * self._usual_ns), PATIENCE_NS_MAX)

    def announce(self, servers: Sequence[str]) -> None:
        """Take over what a grant or lease announced, in place of what another did; no empty list."""
        if servers:
            self._announced = list(dict.fromkeys(servers[:SERVERS_MAX]))
            self._forget_others()

    def hint(self, servers: Sequence[str]) -> None:
        """Take over what a stream tells, which may be forged: asked when nobody else answers."""
        self._hinted = list(dict.fromkeys(servers[:SERVERS_MAX]))
        self._forget_others()

    def rename(self, named: Sequence[str]) -> None:
        """Go on with the addresses of a credential that was read anew, and with no others."""
        self._named, self._announced, self._hinted = list(named), [], []
        self._forget_others()
        if self._present not in self._named:
            self._present = None

    def order(self, now: int) -> list[str]:
        """Return the servers that one call asks in turn; never empty. Under `round-robin` a turn is over.

        Those that want to be left alone are left out, unless all do: then `wait_ns` says for how long.
        """
        servers = self._preferred(self._turn)
        self._turn += 1
        free = [server for server in servers if now >= self._of(server).again_ns]
        shut = sorted((s for s in servers if now < self._of(s).again_ns), key=self._again_ns)
        welcome = [server for server in shut if not self._of(server).is_busy]
        return free + welcome or shut

    def wait_ns(self, now: int) -> int:
        """Return how long until a server may be asked that did not want to be left alone, 0 mostly."""
        healths = [self._of(server) for server in self._preferred(0)]
        return max(0, min(health.again_ns if health.is_busy else now for health in healths) - now)

    def busy_ns(self, now: int) -> int:
        """Return how long until the first that wants to be left alone may be asked, 0 if none does."""
        left = [h.again_ns - now for h in self._health.values() if h.is_busy and h.again_ns > now]
        return min(left, default=0)

    def handle_asked(self, server: str, now: int) -> None:
        """Note that a request goes to a server: for one that failed before it is the only trial for now."""
        health = self._of(server)
        if health.failures and now >= health.again_ns:
            health.again_ns = now + TRIAL_NS

    def handle_answer(self, server: str, now: int, took_ns: int) -> None:
        """Note that a server answered, yes or no, after `took_ns`."""
        self._health[server] = _Health(again_ns=now)
        self._present = server
        self._usual_ns += (took_ns - self._usual_ns) // USUAL_PARTS if self._usual_ns else took_ns

    def handle_failure(self, server: str, now: int) -> None:
        """Note that a server did not answer, not in time, or with a fault of its own."""
        health = self._of(server)
        step_ns = min(SHUT_NS << min(health.failures, SHUT_LOG2_MAX), SHUT_NS_MAX)
        health.failures, health.is_busy = health.failures + 1, False
        health.again_ns = now + step_ns // 2 + self._random.below(step_ns // 2 + 1)

    def handle_busy(self, server: str, now: int, retry_after_ns: int | None) -> None:
        """Note that a server wants to be left alone for a while; that is no failure."""
        wait_ns = BUSY_NS if retry_after_ns is None else retry_after_ns
        health = self._of(server)
        health.is_busy = True
        health.again_ns = now + wait_ns + self._random.below(wait_ns // BUSY_JITTER_PARTS + 1)

    def handle_lacking(self, server: str, now: int) -> None:
        """Note that a server answered without what others may have: the next request goes to another."""
        health = self._of(server)
        health.again_ns, health.is_busy = now + LACKING_NS, False

    def _preferred(self, turn: int) -> list[str]:
        """Return all servers by list and choice, whatever their health."""
        lists = (self._announced, self._named, self._hinted)
        if self._choice is Choice.LISTED:
            present = [] if self._present is None else [self._present]
            return list(dict.fromkeys((*present, *lists[0], *lists[1], *lists[2])))
        return list(dict.fromkeys(server for part in lists for server in self._arranged(part, turn)))

    def _arranged(self, servers: list[str], turn: int) -> list[str]:
        if self._choice is Choice.FIXED or not servers:
            return rank(self._party, servers)
        first = servers[turn % len(servers)]
        # The others in an order of the party's own, or all would go on to the same one from one that is gone.
        return [first, *rank(self._party, (server for server in servers if server != first))]

    def _forget_others(self) -> None:
        """Keep the health of those that are in a list, and of the present one."""
        known = {*self._announced, *self._named, *self._hinted, self._present}
        self._health = {server: health for server, health in self._health.items() if server in known}

    def _again_ns(self, server: str) -> int:
        return self._of(server).again_ns

    def _of(self, server: str) -> _Health:
        return self._health.setdefault(server, _Health())
