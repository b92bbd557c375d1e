"""Owns what one round publishes: read in one transaction, in the order that is safe, in bounded pieces.

```
parties that changed ─► other parties ─► channels that changed ─► other channels ─► air ─► beat
                                         └── only with all parties that changed before them
```
Whoever has a key that was published after a removal has the removal too. "Others" are of a new master's first
publication, which is of everything. A beat says that no change waits, and goes out only when none does; it
goes before others only where the bus has them as they are, from an earlier term.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import sqlalchemy as sa

from sealcast.cluster import store_changes, store_lease
from sealcast.core.secret import Secret
from sealcast.messages.cluster import Beat, EntryBody, Kind
from sealcast.messages.encoding import encode
from sealcast.server.cluster import composing

PARTIES_AT_ONCE = 100
CHANNELS_AT_ONCE = 20
"""In one round: some 10 ms in the writer's thread, so that no request waits for a backlog."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a master has come with publishing everything once: what is behind these is to come.

    None: all of that kind was published.
    """

    party: str | None = ""
    channel: int | None = 0

    @property
    def is_done(self) -> bool:
        """Whether everything was published."""
        return self.party is None and self.channel is None


@dataclass(slots=True)
class Round:
    """One publication: entries in their order, the changes that they cover, and how far it comes.

    `is_current` if no change is to come behind it, `is_complete` if nothing else is either.
    """

    version: int
    progress: Progress
    entries: list[EntryBody] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    is_current: bool = False
    is_complete: bool = False
    has_beat: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """How many parties and channels live, as counted when one last changed."""

    parties: int
    channels: int


class Composer:
    """Composes the rounds of one term; `name` and `urls` are this master's."""

    def __init__(self, term: int, name: str, urls: tuple[str, ...], master: Secret) -> None:
        self.term = term
        self.urls = urls
        self._name = name
        self._master = master
        self._live: Live | None = None

    def compose(
        self,
        connection: sa.Connection,
        progress: Progress,
        published: Iterable[int],
        wall_ms: int,
        *,
        whole_to: int,
        is_beat_due: bool,
    ) -> Round:
        """Return the next round, after forgetting the changes that were `published`.

        Up to the sequence `whole_to` the bus has all that was published before, 0 if it has not. Unless
        `is_beat_due` there is a beat only when everything was published. Raises FencedError if the term is
        over.
        """
        store_changes.done(connection, published)
        version = store_lease.raise_version(connection, self.term, wall_ms, whole_to)
        made = Round(version, progress)
        made.is_current = self._parties(connection, made, wall_ms)
        if made.is_current:
            made.is_current = self._channels(connection, made, wall_ms)
        made.is_complete = made.is_current and made.progress.is_done
        if made.is_complete or (made.is_current and is_beat_due):
            self._beat(connection, made, wall_ms)
        return made

    def _parties(self, connection: sa.Connection, made: Round, wall_ms: int) -> bool:
        """Add parties; False if more of those that changed are to come."""
        changed = store_changes.oldest(connection, "party", PARTIES_AT_ONCE + 1)
        names = [each.name for each in changed[:PARTIES_AT_ONCE]]
        made.changes += [each.number for each in changed[:PARTIES_AT_ONCE]]
        if made.progress.party is not None and len(names) < PARTIES_AT_ONCE:
            room = PARTIES_AT_ONCE - len(names)
            others = composing.party_ids(connection, made.progress.party, room)
            made.progress = replace(made.progress, party=others[-1] if len(others) == room else None)
            names = [*names, *(each for each in others if each not in set(names))]
        for entry in composing.parties(connection, names, self._master):
            self._add(made, "party", entry.id, encode(entry), wall_ms)
        if names:
            self._live = None
        return len(changed) <= PARTIES_AT_ONCE

    def _channels(self, connection: sa.Connection, made: Round, wall_ms: int) -> bool:
        """Add channels and what is on air; False if more of those that changed are to come."""
        changed = store_changes.oldest(connection, "channel", CHANNELS_AT_ONCE + 1)
        heard = store_changes.oldest(connection, "air", PARTIES_AT_ONCE + 1)
        numbers = [int(each.name) for each in changed[:CHANNELS_AT_ONCE]]
        on_air = [int(each.name) for each in heard[:PARTIES_AT_ONCE]]
        made.changes += [each.number for each in (*changed[:CHANNELS_AT_ONCE], *heard[:PARTIES_AT_ONCE])]
        if made.progress.channel is not None and made.progress.party is None:
            room = max(1, CHANNELS_AT_ONCE - len(numbers))
            others = composing.channel_numbers(connection, made.progress.channel, room)
            made.progress = replace(made.progress, channel=others[-1] if len(others) == room else None)
            numbers += [each for each in others if each not in set(numbers)]
            on_air += [each for each in others if each not in set(on_air)]
        for number in numbers:
            entry = composing.channel(connection, number, self._master)
            if entry is not None:
                self._add(made, "channel", str(number), encode(entry), wall_ms)
        for number in on_air:
            self._add(made, "air", str(number), encode(composing.air(connection, number)), wall_ms)
        if numbers:
            self._live = None
        return len(changed) <= CHANNELS_AT_ONCE and len(heard) <= PARTIES_AT_ONCE

    def _beat(self, connection: sa.Connection, made: Round, wall_ms: int) -> None:
        if self._live is None:
            self._live = Live(*composing.count_live(connection))
        live = self._live
        made.has_beat = True
        beat = Beat(
            master=self._name,
            at_ms=wall_ms,
            urls=list(self.urls),
            parties=live.parties,
            channels=live.channels,
        )
        self._add(made, "beat", "", encode(beat), wall_ms)

    def _add(self, made: Round, kind: Kind, name: str, body: bytes, wall_ms: int) -> None:
        made.entries.append(
            EntryBody(
                kind=kind,
                name=name,
                version=made.version,
                term=self.term,
                at_ms=wall_ms,
                body=msgspec.Raw(body),
            )
        )
