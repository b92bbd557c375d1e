"""Owns what the servers of a cluster tell one another over the bus.

```
master ── entries: parties, channels with their keys, what is on air, beats ──► replicas
replicas ── journal: grants and receptions as they were recorded ──► master
```
All of it is sealed under the cluster key; entries are signed by the master besides, which replicas cannot.
Instants are milliseconds of wall clocks: servers of a cluster keep theirs right (NTP).
"""

from typing import Literal

import msgspec

from sealcast.messages.answers import KeyMaterial
from sealcast.messages.channels import ChannelData
from sealcast.messages.requests import RegisteredKeys

Kind = Literal["party", "channel", "air", "beat"]
"""What an entry is of: a party by its id, a channel or what is on air of it by number, the master itself."""


class EntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed and signed: the newest state of one thing.

    `version` rises with every round in which the master publishes, over all masters; `term` with each master.
    """

    kind: Kind
    name: str
    version: int
    term: int
    at_ms: int
    body: msgspec.Raw


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one certificate of a party stands; not the certificate itself."""

    serial: str
    use: str
    issued_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int | None = None
    reason: str | None = None


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One list on which a device stands now."""

    channel: int
    added_at_ms: int
    user: str = ""
    kek: str = ""


class PartyEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A party, all that is known of it; without `keys` it was removed."""

    id: str
    role: str
    kind: str
    registered_at_ms: int
    removed_at_ms: int | None = None
    keys: RegisteredKeys | None = None
    certificates: list[CertificateRow] = []
    subscriptions: list[SubscriptionRow] = []

    def __repr__(self) -> str:
        return f"PartyEntry({self.id})"


class EpochEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An epoch that is not retired; `material` of the current and of those to come, which may be granted."""

    epoch: int
    sender: str
    ssrc: int
    state: str
    leased_at_ms: int
    consumed: bool = False
    cause: str | None = None
    published_at_ms: int | None = None
    on_air_at_ms: int | None = None
    off_air_at_ms: int | None = None
    follows: int | None = None
    fresh_at: int | None = None
    material: KeyMaterial | None = None


class FenceEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fence that no epoch on air has reached yet."""

    epoch: int
    window_ms: int
    set_at_ms: int
    is_urgent: bool = False
    is_commanded: bool = False


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A channel with its senders, its live epochs and the fences ahead."""

    channel: ChannelData
    added_at_ms: int
    next_epoch: int
    removed_at_ms: int | None = None
    is_open: bool = False
    senders: list[str] = []
    epochs: list[EpochEntry] = []
    fences: list[FenceEntry] = []


class AirRow(msgspec.Struct, frozen=True, kw_only=True):
    """The last report of one run, as `reports` has it."""

    ssrc: int
    epoch: int
    remaining_ms: int
    lifetime_ms: int
    extended: bool
    roc: int
    seq: int
    reported_at_ms: int


class AirEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is on air of a channel."""

    channel: int
    runs: list[AirRow] = []


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The master lives, and all that it decided before `at_ms` was published before this.

    `urls` are where replicas relay to what they do not carry out themselves. `parties` and `channels` are how
    many live ones there are, so that a replica can tell whether it has them all.
    """

    master: str
    at_ms: int
    urls: list[str] = []
    parties: int = 0
    channels: int = 0


class GrantedRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="granted"):
    """A device was given the keys of these epochs by a replica; `token` is its request, if that is kept."""

    device: str
    channel: int
    epochs: list[int]
    at_ms: int
    token: str = ""


class ReceptionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reception"):
    """A reception as a replica has it now; one of a device, channel and beginning replaces the one before."""

    device: str
    channel: int
    channel_name: str
    since_ms: int
    seen_ms: int
    first_epoch: int | None = None
    last_epoch: int | None = None
    packets: int = 0
    last_index: int | None = None
    ended_at_ms: int | None = None
    reason: str | None = None


class JournalBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive rows of a replica's journal, the first of number `first`.

    `journal` names the journal: a replica whose database was made anew has another. Rows come again when an
    acknowledgement was lost, never out of order.
    """

    replica: str
    journal: str
    first: int
    rows: list[GrantedRow | ReceptionRow]
