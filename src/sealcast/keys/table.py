"""Owns the life of keys at a receiver or sender: one table of transitions, and previous, current, next.

```
            publish             on air                superseded             expired
PLANNED ──────────────► PUBLISHED ─────────► ACTIVE ─────────────► DRAINING ─────────► RETIRED
   │  on air (no key server)  │ superseded: never on air               (unused for the grace, or 60 s)
   └─────────────► ACTIVE     └──────────────────────────────────────────────────────► RETIRED
```

Rules of this file: states change only here and only by `TRANSITIONS`; the MKI in a packet says which key
opens it, never the clock; and only a signed announcement (or a key server's grant) puts a key on air. Of a
chain (S0-9) the C of a key goes as soon as the key that follows is here, or it is superseded, and the Ku that
led to a key goes when that is learnt: what led from one key to another is kept nowhere.
"""

from dataclasses import dataclass
from enum import Enum, auto

from sealcast.core.errors import FormatError, LocalError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.material import Tek
from sealcast.keys.policy import GRACE_MS_MAX, grace_ms

KEYS_MAX = 4
"""Previous, current, next, and one more while an eviction overtakes a prefetched next."""


class KeyState(Enum):
    """Where a key stands in its life."""

    PLANNED = auto()
    PUBLISHED = auto()
    ACTIVE = auto()
    DRAINING = auto()
    RETIRED = auto()


class KeyEvent(Enum):
    """What moves a key on."""

    PUBLISH = auto()
    ON_AIR = auto()
    SUPERSEDED = auto()
    EXPIRED = auto()


TRANSITIONS: dict[tuple[KeyState, KeyEvent], KeyState] = {
    (KeyState.PLANNED, KeyEvent.PUBLISH): KeyState.PUBLISHED,
    (KeyState.PLANNED, KeyEvent.ON_AIR): KeyState.ACTIVE,
    (KeyState.PLANNED, KeyEvent.SUPERSEDED): KeyState.RETIRED,
    (KeyState.PUBLISHED, KeyEvent.ON_AIR): KeyState.ACTIVE,
    (KeyState.PUBLISHED, KeyEvent.SUPERSEDED): KeyState.RETIRED,
    (KeyState.ACTIVE, KeyEvent.SUPERSEDED): KeyState.DRAINING,
    (KeyState.DRAINING, KeyEvent.EXPIRED): KeyState.RETIRED,
}


def next_state(state: KeyState, event: KeyEvent) -> KeyState:
    """Return the state that follows; raises LocalError for a transition that does not exist."""
    try:
        return TRANSITIONS[state, event]
    except KeyError as error:
        raise LocalError(f"a key that is {state.name} cannot be {event.name}") from error


@dataclass(slots=True)
class KeyEntry:
    """One key in the table; times are monotonic ns."""

    tek: Tek
    state: KeyState
    lifetime_ms: int
    used_ns: int
    switched_ns: int = 0

    def advance(self, event: KeyEvent) -> None:
        """Move on by the table of transitions."""
        self.state = next_state(self.state, event)

    def drain_until_ns(self) -> int:
        """Return when a draining key goes, if it is not used again."""
        unused = self.used_ns + grace_ms(self.lifetime_ms) * NS_PER_MS
        return min(unused, self.switched_ns + GRACE_MS_MAX * NS_PER_MS)


class KeyTable:
    """The keys of one channel, at most one of them ACTIVE; retired ones are erased and gone."""

    def __init__(self) -> None:
        self._entries: dict[KeyId, KeyEntry] = {}
        self._announced: KeyId | None = None

    @property
    def announced(self) -> KeyId | None:
        """The key announced as in use, whether we hold it or not."""
        return self._announced

    @property
    def current(self) -> KeyEntry | None:
        """The ACTIVE key."""
        return next((e for e in self._entries.values() if e.state is KeyState.ACTIVE), None)

    @property
    def held(self) -> tuple[KeyId, ...]:
        """Key IDs of all keys held."""
        return tuple(self._entries)

    def get(self, key_id: KeyId) -> KeyEntry | None:
        """Return the entry of a key that is held."""
        return self._entries.get(key_id)

    def learn(self, tek: Tek, lifetime_ms: int, now: int) -> bool:
        """Take in a key, PUBLISHED; False if it is held already or older than what is on air.

        Raises FormatError if the same key ID comes with other key bytes.
        """
        entry = self._entries.get(tek.key_id)
        if entry is not None:
            if entry.tek != tek:
                raise FormatError(f"two different keys under the key ID {tek.key_id}")
            return False
        if self._announced is not None and tek.key_id < self._announced:
            return False
        if len(self._entries) >= KEYS_MAX:
            self._retire(self._most_dispensable())
        self._consume_origin(tek)
        state = next_state(KeyState.PLANNED, KeyEvent.PUBLISH)
        self._entries[tek.key_id] = KeyEntry(tek, state, lifetime_ms, used_ns=now)
        if tek.key_id == self._announced:
            self._entries[tek.key_id].advance(KeyEvent.ON_AIR)
        return True

    def announce(self, key_id: KeyId, now: int) -> bool:
        """Put a key on air, held or not; False if it is already, or a newer one is."""
        if self._announced is not None and key_id <= self._announced:
            return False
        self._announced = key_id
        for other, entry in list(self._entries.items()):
            if other < key_id and entry.state is not KeyState.DRAINING:
                self._supersede(other, entry, now)
        entry_now_on_air = self._entries.get(key_id)
        if entry_now_on_air is not None:
            entry_now_on_air.advance(KeyEvent.ON_AIR)
        return True

    def mark_used(self, key_id: KeyId, now: int) -> None:
        """Note that a packet verified under a key that is or was on air; before that it means nothing."""
        entry = self._entries.get(key_id)
        if entry is not None and entry.state is not KeyState.PUBLISHED:
            entry.used_ns = now

    def expire(self, now: int) -> list[KeyId]:
        """Erase draining keys whose time is over; return their key IDs."""
        over = [
            key_id
            for key_id, entry in self._entries.items()
            if entry.state is KeyState.DRAINING and entry.drain_until_ns() <= now
        ]
        for key_id in over:
            self._entries[key_id].advance(KeyEvent.EXPIRED)
            self._retire(key_id)
        return over

    def next_timeout(self) -> int | None:
        """Return when `expire` has something to do next, in monotonic ns."""
        times = [e.drain_until_ns() for e in self._entries.values() if e.state is KeyState.DRAINING]
        return min(times, default=None)

    def erase(self) -> None:
        """Erase all keys."""
        for key_id in self.held:
            self._retire(key_id)

    def _most_dispensable(self) -> KeyId:
        """Return the oldest previous key, or without one the key furthest ahead."""
        draining = [k for k, e in self._entries.items() if e.state is KeyState.DRAINING]
        if draining:
            return min(draining)
        return max(k for k, e in self._entries.items() if e.state is not KeyState.ACTIVE)

    def _consume_origin(self, tek: Tek) -> None:
        """Erase what led to a key: its Ku and the C before it; and its own C if the next is held already."""
        origin = tek.origin
        if origin is None:
            return
        if origin.update is not None:
            origin.update.erase()
        for entry in self._entries.values():
            other = entry.tek.origin
            if other is not None and entry.tek.key_id == origin.follows:
                other.erase()
            if other is not None and other.follows == tek.key_id:
                origin.erase()

    def _supersede(self, key_id: KeyId, entry: KeyEntry, now: int) -> None:
        entry.advance(KeyEvent.SUPERSEDED)
        # Packets are still on their way, whether or not we knew the key to be on air when it was last used.
        entry.switched_ns, entry.used_ns = now, max(entry.used_ns, now)
        if entry.tek.origin is not None:
            entry.tek.origin.erase()
        if entry.state is KeyState.RETIRED:
            self._retire(key_id)

    def _retire(self, key_id: KeyId) -> None:
        self._entries.pop(key_id).tek.erase()
