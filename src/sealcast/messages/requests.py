"""Owns the requests: what each role may ask, as the payload of a JWS signed by the caller.

Every request carries the same four claims, so that it counts for one operator, one operation and once.
"""

from typing import Literal

import msgspec

from sealcast.messages.channels import ChannelData
from sealcast.messages.jwk import Jwk

JTI_BYTES = 16


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all requests share: `aud` operator, `op` operation, `jti` unique id, `nonce` of a server.

    `aud` of a request to an escrow is `messages.escrow.escrow_audience`.
    """

    aud: str
    op: str
    jti: str
    nonce: str


class KeyRequest(Request, frozen=True, kw_only=True):
    """Device: the keys of a channel that are, or will be, in use. `channel` is a name or a number.

    `key_id` is the one seen on the air, if that is why it asks; `held` those it need not be sent again.
    """

    channel: str
    key_id: str | None = None
    held: list[str] = []


class LeaseRequest(Request, frozen=True, kw_only=True):
    """Sender: run slots for its channel; those below `first_unused` are consumed, and burned.

    A sender without any record of its slots sends `first_unused` = 2^32 - 1: all that it ever had are burned.
    `held` are the epochs of the slots that it has on record: of those leased to it, no other comes back, so
    that two runs of one credential, each with its own record, never share a slot. None: whatever is free.
    """

    channel: str
    first_unused: int = 0
    held: list[int] | None = None


class PublishRequest(Request, frozen=True, kw_only=True):
    """Sender: the key it made for a leased epoch; `sealed_key` is a JWE of `KeyMaterial` to the server."""

    channel: str
    epoch: int
    sealed_key: str


class GenerateRequest(Request, frozen=True, kw_only=True):
    """Sender: have the server make (once) the key of a leased epoch."""

    channel: str
    epoch: int


class EpochTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What went on air under one epoch of one run, as far as known at the report."""

    epoch: int
    duration_ms: int
    packets: int
    bytes: int


class AirRequest(Request, frozen=True, kw_only=True):
    """Sender: what is on air now; sent at each change, at least every 5 s, and at the end."""

    channel: str
    ssrc: int
    epoch: int
    cause: Literal["schedule", "start", "eviction", "command"]
    remaining_ms: int
    lifetime_ms: int
    extended: bool
    roc: int
    seq: int
    totals: list[EpochTotals]
    ended: bool = False
    shared: bool = False
    """Whether the epoch is that of another run, beside which this one sends."""


class ShareRequest(Request, frozen=True, kw_only=True):
    """Sender: the keys of its channel that another run is on air under, to send beside it or to watch it.

    `ssrc` is that of the run that asks, None while it sends nothing; `held` are keys that it has already.
    """

    channel: str
    ssrc: int | None = None
    held: list[str] = []


class ChannelAddRequest(Request, frozen=True, kw_only=True):
    """Operator: a new channel, and the senders that may lease it (none: nobody may, until one is added).

    `open`: devices may subscribe to it themselves.
    """

    channel: ChannelData
    senders: list[str] = []
    open: bool = False


class ChannelNameRequest(Request, frozen=True, kw_only=True):
    """Operator: show or remove one channel, by name or number."""

    channel: str


class ChannelSendersRequest(Request, frozen=True, kw_only=True):
    """Operator: which senders may lease a channel from now on, added and taken away."""

    channel: str
    add: list[str] = []
    remove: list[str] = []


class FreshStartRequest(Request, frozen=True, kw_only=True):
    """Operator: have a chain start afresh with its next key; `now` has the sender change keys at once."""

    channel: str
    now: bool = False


class ListRequest(Request, frozen=True, kw_only=True):
    """Operator: a list; `channel` narrows it where that makes sense."""

    channel: str | None = None


Role = Literal["operator", "sender", "device", "replica", "seller"]
"""A seller is known to escrows; it sends and receives nothing."""


class RegistryAddRequest(Request, frozen=True, kw_only=True):
    """Operator: register a device by serial number, or another party by name.

    `sealed_keys` is a JWE of `RegisteredKeys` to the server. `channels` are those that a device is
    subscribed to, or that a sender may send on, at once.
    """

    id: str
    role: Role
    sealed_keys: str
    channels: list[str] = []


class RegistryRemoveRequest(Request, frozen=True, kw_only=True):
    """Operator: forget a party's keys; it is nobody from now on, and its subscriptions end."""

    id: str


class RegisteredKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys under which a party is known: secrets if symmetric, public halves otherwise."""

    signing: Jwk
    kek: Jwk


class SubscriberListRequest(ListRequest, frozen=True, kw_only=True):
    """Operator: subscribers, by channel and device, at most `limit`; `after` is `next` of the page before."""

    after: str = ""
    limit: int = 1_000


class SubscriberRequest(Request, frozen=True, kw_only=True):
    """Operator: put a device on the allow list of a channel; `user` is its user's name, if known."""

    channel: str
    device: str
    user: str = ""
