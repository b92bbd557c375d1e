"""Owns the answers: grants and leases (sealed, because they hold keys) and the plain ones."""

from typing import Annotated, Literal

import msgspec

from sealcast.core.ids import U32_MAX
from sealcast.messages.channels import ChannelData
from sealcast.messages.jwk import Jwk


class KeyMaterial(msgspec.Struct, frozen=True, kw_only=True):
    """One TEK in JSON, in base64: master key and salt. `repr` shows the key ID only.

    Of a chain (S0-9) there is `link`, its C, in place of key and salt, with `fresh_at`, the epoch of the next
    fresh start, and if it is none itself, `follows` and `update`, the key ID before and the Ku that led from
    it. Without `link` whoever holds the key that it follows makes it from `update`.
    """

    key_id: str
    suite: str
    key: bytes = b""
    salt: bytes = b""
    link: bytes = b""
    fresh_at: int = 0
    follows: str = ""
    update: bytes = b""

    def __repr__(self) -> str:
        return f"KeyMaterial({self.key_id} {self.suite})"


class GrantedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its place in time. `remaining_ms` counts to its end (current) or of a whole life (next)."""

    material: KeyMaterial
    state: Literal["current", "next"]
    remaining_ms: int
    lifetime_ms: int
    extended: bool = False


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sender's counters stood `age_ms` ago: candidates for a joiner, never certain."""

    ssrc: int
    roc: int
    seq: int
    age_ms: int


class SenderKey(msgspec.Struct, frozen=True, kw_only=True):
    """A registered sender of the channel: its Ed25519 key verifies SEAL packets."""

    id: str
    key: Jwk


class FetchWindow(msgspec.Struct, frozen=True, kw_only=True):
    """When to ask for the next key, from now; each receiver draws its instant uniformly."""

    opens_in_ms: int
    closes_in_ms: int


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a key request. `jti` repeats the request's, so that no other answer can take its place.

    A permitted device always gets one. `keys` and `streams` are empty while nothing is published or on air:
    the device then knows where to join, and asks again when it hears something. (So "no key yet" is no
    problem type: it would leave the device without the group.) `window` is None while nothing is on air.
    `spread_ms` is over how long to spread a question that no window foretells. A heartbeat is due within
    `heartbeat_ms` (none if 0); `events` are the addresses that push events.
    """

    jti: str
    channel: ChannelData
    keys: list[GrantedKey]
    streams: list[StreamState]
    senders: list[SenderKey]
    window: FetchWindow | None = None
    key_servers: list[str] = []
    spread_ms: int = 0
    heartbeat_ms: int = 0
    events: list[str] = []
    chain: "ChainGrant | None" = None


class ChainGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant on a channel with chained keys means: every epoch on air from `first_epoch` to `fresh_at`.

    The one at `fresh_at`, the next fresh start at the latest, is not in it. The device is charged for all of
    them, up to its verified erasure statement: it can follow the chain without another request.
    """

    first_epoch: int
    fresh_at: int


class RunSlotData(msgspec.Struct, frozen=True, kw_only=True):
    """One reserved (SSRC, epoch)."""

    ssrc: int
    epoch: int


class LeaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Run slots for a sender, with consecutive epochs, and the keys already published for any of them."""

    jti: str
    channel: ChannelData
    slots: list[RunSlotData]
    published: list[KeyMaterial]
    key_servers: list[str] = []
    events: list[str] = []


class GeneratedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key that the server made for an epoch."""

    jti: str
    material: KeyMaterial


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The operation was carried out, and is durable."""

    jti: str


class FenceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """To a sender: put no epoch below `epoch` on air any more, but that which is.

    `urgent`: change at once, and give receivers `window_ms` to fetch the key. `commanded`: by the operator's
    order, no device was removed.
    """

    epoch: Annotated[int, msgspec.Meta(ge=0, le=U32_MAX)]
    window_ms: Annotated[int, msgspec.Meta(ge=0, le=U32_MAX)]
    urgent: bool
    commanded: bool = False


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender has to know of a channel to send beside others: the keys on air and next, as a grant.

    `living` is how many other runs were heard lately under the epoch on air. `lead`: none of them makes the
    next key, so the run that asks is to; of several one is told.
    """

    jti: str
    grant: Grant
    living: int = 0
    lead: bool = False


class AirAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The report was taken in. `overtaken`: another run is on air under a later epoch, and reports too.

    `fence` is there until an epoch not below it is on air.
    """

    jti: str
    overtaken: bool = False
    fence: FenceOrder | None = None


class ChannelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as administrators see it."""

    channel: ChannelData
    senders: list[str]
    subscribers: int
    open: bool = False
    epoch: int | None = None
    state: Literal["idle", "on-air", "extended"] = "idle"
    remaining_ms: int | None = None


class ChannelList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to channel list, show and add."""

    channels: list[ChannelRow]


class FreshStart(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh start of a chain is ordered: at epoch `fence_epoch` or later; `on_air` is the present one.

    `skipped` are published epochs that never go on air. `window_ms` is how long receivers have to fetch the
    next key, with `now`. With nothing on air or published there is nothing to order: the next start is fresh.
    """

    jti: str
    channel: str
    fence_epoch: int
    on_air: int | None
    skipped: list[int]
    window_ms: int | None = None


class RegistryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A registered device or sender."""

    id: str
    role: str
    kind: str
    registered_at: str


class RegistryList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to registry list."""

    entries: list[RegistryRow]


class SubscriberRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device on a channel's allow list, since the key server's `added_at` (ISO 8601, UTC).

    `kek` is the thumbprint (RFC 7638) of the device's public KEK, or `symmetric` (S0-2).
    """

    channel: str
    device: str
    added_at: str
    user: str = ""
    kek: str = ""


class SubscriberList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to subscriber list; `next` is where to go on, None at the end of the list."""

    subscribers: list[SubscriberRow]
    next: str | None = None
