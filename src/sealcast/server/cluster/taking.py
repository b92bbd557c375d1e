"""Owns taking over entries at a replica: each writes into the tables what the master has, or changes nothing.

Entries come in any order, and some never: each of them is whole. What one names that has not come yet gets a
row that says "removed", as a party or channel that is gone has one; its own entry puts that right.

All is done in the writer's thread, in the caller's unit of work.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from sealcast.cluster import store_versions
from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.air import AirState, StoredReport
from sealcast.keyserver.notices import OnNotice
from sealcast.keyserver.ports import ReceptionEnds
from sealcast.keyserver.store_principals import KEY_PAIR, RegistryEntry
from sealcast.keyserver.tables import certificates, channel_senders, channels, principals, reports
from sealcast.keyserver.views import Views
from sealcast.messages.cluster import AirEntry, EntryBody, PartyEntry
from sealcast.messages.encoding import decode
from sealcast.messages.subscribing import Ended, EndRow
from sealcast.server.principals import Principals
from sealcast.storage.upsert import insert
from sealcast.subscribers.tables import subscriptions

DIGEST_BYTES = 16
SAID_MAX = 200_000
"""Parties whose entries are known by a digest, 200 bytes each; beyond it all are forgotten."""

LONG_GONE_MS = 0
"""When what is not known yet is said to have been removed."""

T = TypeVar("T", bound=msgspec.Struct)

_PLACE_PARTY = insert(principals).on_conflict_do_nothing(index_elements=[principals.c.id])
_PLACE_CHANNEL = insert(channels).on_conflict_do_nothing(index_elements=[channels.c.number])
_FREE_PARTY = (
    principals.update()
    .where(principals.c.id == sa.bindparam("called"))
    .values(
        role=sa.bindparam("now_role"),
        kind=sa.bindparam("now_kind"),
        public_keys=None,
        wrapped_signing=None,
        wrapped_kek=None,
        registered_at_ms=sa.bindparam("since_ms"),
        removed_at_ms=sa.bindparam("until_ms"),
    )
)
_DROP_CERTIFICATES = certificates.delete().where(certificates.c.principal == sa.bindparam("called"))
_LISTED = sa.select(subscriptions.c.channel).where(
    subscriptions.c.device == sa.bindparam("called"), subscriptions.c.removed_at_ms.is_(None)
)
_UNLIST = subscriptions.delete().where(subscriptions.c.device == sa.bindparam("called"))
_SENDS_ON = sa.select(channel_senders.c.channel).where(channel_senders.c.sender == sa.bindparam("called"))
_DROP_REPORTS = reports.delete().where(reports.c.channel == sa.bindparam("number"))


@dataclass(frozen=True, slots=True)
class Held:
    """What a replica keeps beside its tables; `master` is the key under which secrets are wrapped here."""

    master: Secret
    views: Views
    air: AirState
    principals: Principals
    receptions: ReceptionEnds
    on_notice: OnNotice
    clock: Clock

    def wall_ms(self) -> int:
        """Return the wall clock's time."""
        return self.clock.wall_ns() // NS_PER_MS


def body_of(entry: EntryBody, kind: type[T], name: Callable[[T], str]) -> T:
    """Return the body of an entry; raises FormatError unless it is one of its name."""
    body = decode(bytes(entry.body), kind)
    if name(body) != entry.name:
        raise FormatError(f"the entry {entry.kind} {entry.name} is of {name(body)}")
    return body


def place_party(connection: sa.Connection, party: str) -> None:
    """Give a party that has not come yet its row."""
    row = {
        "id": party,
        "role": "sender",
        "kind": KEY_PAIR,
        "registered_at_ms": LONG_GONE_MS,
        "removed_at_ms": LONG_GONE_MS,
    }
    connection.execute(_PLACE_PARTY, row)


def place_channel(connection: sa.Connection, number: int) -> None:
    """Give a channel that has not come yet its row."""
    connection.execute(
        _PLACE_CHANNEL,
        {
            "number": number,
            "name": "",
            "group": "",
            "port": 0,
            "suite": "",
            "keys": "",
            "lifetime_ms": 0,
            "publish_at": "",
            "prefetch_at": "",
            "next_epoch": 1,
            "added_at_ms": LONG_GONE_MS,
            "removed_at_ms": LONG_GONE_MS,
        },
    )


def take_party(held: Held, connection: sa.Connection, entry: EntryBody) -> None:
    """Write a party: its keys wrapped under our own master key, its certificates, the lists it stands on."""
    party = body_of(entry, PartyEntry, lambda each: each.id)
    listed = {row.channel for row in party.subscriptions} if party.keys is not None else set()
    gone = set(connection.execute(_LISTED, {"called": party.id}).scalars()) - listed
    _write_party(held, connection, party)
    _write_certificates(connection, party)
    _write_lists(connection, party, listed)
    held.principals.forget(party.id)
    for number in connection.execute(_SENDS_ON, {"called": party.id}).scalars():
        held.views.forget(ChannelNumber(number))
    why: Ended = "removed" if party.keys is not None else "party-removed"
    ends = [EndRow(device=party.id, channel=number, reason=why) for number in sorted(gone)]
    if ends:
        held.receptions.end_receptions(connection, ends, held.wall_ms())


def take_air(held: Held, connection: sa.Connection, entry: EntryBody) -> None:
    """Write what is on air of a channel, and take it into the memory."""
    found = body_of(entry, AirEntry, lambda each: str(each.channel))
    number = ChannelNumber(found.channel)
    place_channel(connection, number)
    connection.execute(_DROP_REPORTS, {"number": number})
    if found.runs:
        rows = [{"channel": number, **msgspec.structs.asdict(run)} for run in found.runs]
        connection.execute(reports.insert(), rows)
    held.air.forget(number)
    now, wall_ms = held.clock.monotonic_ns(), held.wall_ms()
    for run in sorted(found.runs, key=lambda each: each.epoch):
        fields = {**msgspec.structs.asdict(run), "ssrc": Ssrc(run.ssrc), "epoch": Epoch(run.epoch)}
        held.air.restore(StoredReport(channel=number, **fields), now, wall_ms)


def _write_party(held: Held, connection: sa.Connection, party: PartyEntry) -> None:
    place_party(connection, party.id)
    row = {
        "called": party.id,
        "now_role": party.role,
        "now_kind": party.kind,
        "since_ms": party.registered_at_ms,
        "until_ms": LONG_GONE_MS if party.removed_at_ms is None else party.removed_at_ms,
    }
    connection.execute(_FREE_PARTY, row)
    if party.keys is not None:
        known = RegistryEntry(party.id, party.role, party.kind, party.registered_at_ms)
        store_principals.add(connection, known, party.keys, held.master)


def _write_certificates(connection: sa.Connection, party: PartyEntry) -> None:
    """Write how a party's certificates stand; the certificates themselves stay with the master."""
    connection.execute(_DROP_CERTIFICATES, {"called": party.id})
    if party.certificates:
        rows = [
            {"principal": party.id, "certificate": b"", **msgspec.structs.asdict(row)}
            for row in party.certificates
        ]
        connection.execute(certificates.insert(), rows)


def _write_lists(connection: sa.Connection, party: PartyEntry, listed: set[int]) -> None:
    connection.execute(_UNLIST, {"called": party.id})
    rows = [{"device": party.id, **msgspec.structs.asdict(row)} for row in party.subscriptions]
    if listed:
        connection.execute(subscriptions.insert(), rows)


class Taker:
    """Takes over any entry that is newer than what is here.

    A new master publishes everything once more: a party of which the same is said as before costs a seventh.
    Whatever is rolled back, `forget` is to be called.
    """

    def __init__(self, held: Held, take_channel: Callable[[Held, sa.Connection, EntryBody], None]) -> None:
        self._takers: dict[str, Callable[[sa.Connection, EntryBody], None]] = {
            "channel": partial(take_channel, held),
            "air": partial(take_air, held),
            "beat": lambda _connection, _entry: None,
        }
        self._held = held
        self._said: dict[str, bytes] = {}

    def take(self, connection: sa.Connection, entry: EntryBody) -> bool:
        """Write an entry unless one as new was taken over before; return whether it was newer."""
        place = store_versions.place_of(entry)
        if entry.version <= store_versions.version_of(connection, *place):
            return False
        if entry.kind != "party":
            self._takers[entry.kind](connection, entry)
        else:
            self._take_party(connection, entry)
        store_versions.note(connection, [entry])
        return True

    def _take_party(self, connection: sa.Connection, entry: EntryBody) -> None:
        """Write a party, unless what is said of it is what was said before: nothing else writes it."""
        said = hashlib.blake2b(entry.body, digest_size=DIGEST_BYTES).digest()
        if self._said.get(entry.name) == said:
            return
        take_party(self._held, connection, entry)
        if len(self._said) >= SAID_MAX:
            self._said.clear()
        self._said[entry.name] = said

    def forget(self) -> None:
        """Believe nothing of what was taken over: work was rolled back. In the writer's thread."""
        self._said.clear()
