"""Owns what is said about devices sold, subscriptions, receptions, withdrawal, removal and events.

```
device ── subscribe ──► key server           heartbeat, stop ──► key server ──► reception manager
device ── withdrawal: what is to end ──► key server ── nonce, counter, granted keys ──► device
device ── withdraw: erasure statement (JWS, weakness 3), until ──► receipt (JWS by the server)
```
"""

from typing import Annotated, Literal

import msgspec

from sealcast.messages.requests import Request

USER_CHARS_MAX = 128
SOLD_PER_REQUEST = 500
"""Sold devices in one request: far below the size of a message."""

KEY_IDS_MAX = 2_048
"""Key IDs in one statement, about 70 kB on its way: a device holds four of each of 512 channels."""

ALL_CHANNELS = "*"
"""In place of a channel's number: all that the device is subscribed to."""

Text = Annotated[str, msgspec.Meta(max_length=256)]


# Devices sold, and subscriptions


class SoldDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device as the point of sale knows it; `sold_on` is a date (ISO 8601) or empty."""

    serial: str
    sold_on: Text = ""
    seller: Text = ""
    note: Text = ""


class SoldAddRequest(Request, frozen=True, kw_only=True):
    """Operator: these devices were sold; those sold already stay as they are, at most `SOLD_PER_REQUEST`."""

    devices: list[SoldDevice]


class SoldAdded(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices were not sold before, and the serial numbers of those that were."""

    jti: str
    added: int
    known: list[str]


class SoldListRequest(Request, frozen=True, kw_only=True):
    """Operator: sold devices in the order of their serial numbers, behind `after`, at most `limit`."""

    after: str = ""
    limit: int = 500


class SoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sold device; `origin` is `sale`, or `operator` for one that the operator registered or invited."""

    serial: str
    origin: str
    sold_on: str
    seller: str
    note: str
    added_at: str
    enrolled: bool


class SoldList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to the list of sold devices; `more` says that there are others behind them."""

    devices: list[SoldRow]
    more: bool


class SoldRemoveRequest(Request, frozen=True, kw_only=True):
    """Operator: a device was not sold after all (returned, lost); one that is registered stays so."""

    serial: str


class ChannelOpenRequest(Request, frozen=True, kw_only=True):
    """Operator: whether devices may subscribe to a channel themselves from now on."""

    channel: str
    open: bool


class SubscribeRequest(Request, frozen=True, kw_only=True):
    """Device: subscribe to an open channel under the name of its user (S0-3)."""

    channel: str
    user: Annotated[str, msgspec.Meta(max_length=USER_CHARS_MAX)]


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The device stands on the channel's list, since `since` by the key server's clock."""

    jti: str
    channel: str
    number: int
    since: str


# Receptions


class HeartbeatRequest(Request, frozen=True, kw_only=True):
    """Device: it receives the channel still; `key_id` is the key in use, `packets` those it opened so far."""

    channel: str
    key_id: str | None = None
    packets: int = 0


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The reception lives; the next heartbeat is due within `every_ms`."""

    jti: str
    every_ms: int


class StopRequest(Request, frozen=True, kw_only=True):
    """Device: it left the channel (S3-3); `last_index` is the index of the last packet that it opened."""

    channel: str
    key_id: str | None = None
    packets: int = 0
    last_index: int | None = None


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The acknowledgement: reception `number` is history, from `since` to `until`.

    `number` is None if there was none that lived. `by` is who keeps the record.
    """

    jti: str
    channel: str
    number: int | None
    since: str | None
    until: str
    by: str


Ended = Literal["stopped", "timeout", "withdrawn", "removed", "channel-removed", "party-removed"]


class ReceptionListRequest(Request, frozen=True, kw_only=True):
    """Operator: who receives now, or with `history` who did; the newest first, at most `limit`.

    `before` is the number of the last reception of the page before.
    """

    channel: str | None = None
    device: str | None = None
    history: bool = False
    before: int | None = None
    limit: int = 10_000


class ReceptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reception. Instants are the reception manager's; `until` and `reason` are None while it lives."""

    number: int
    channel: str
    device: str
    since: str
    seen: str
    first_epoch: int | None
    last_epoch: int | None
    packets: int
    until: str | None = None
    reason: Ended | None = None


class ReceptionList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to the list of receptions; `live` counts all that live on the channels asked for.

    `more` says that there are others behind the last one: a message has room for some hundred.
    """

    receptions: list[ReceptionRow]
    live: int
    more: bool = False


# Between servers: the role `server` asks a reception manager that stands apart


class PermitRequest(Request, frozen=True, kw_only=True):
    """Key server: may a subscribed device have the keys of these epochs? Permitted, it is recorded (S3-2)."""

    device: str
    channel: int
    channel_name: str
    epochs: list[int]


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """The reception manager's decision; `reason` is the name of a problem if it is no."""

    jti: str
    permitted: bool
    reason: str = ""
    detail: str = ""


class SeenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat that came `age_ms` before this message left."""

    device: str
    channel: int
    age_ms: int
    epoch: int | None = None
    packets: int = 0


class SeenRequest(Request, frozen=True, kw_only=True):
    """Key server: heartbeats of the last moments, the latest of each device and channel."""

    seen: list[SeenRow]


class EndRow(msgspec.Struct, frozen=True, kw_only=True):
    """A reception to end. `channel` None: all of the device; `device` None: all of the channel."""

    device: str | None
    channel: int | None
    reason: Ended
    epoch: int | None = None
    packets: int = 0
    last_index: int | None = None


class EndRequest(Request, frozen=True, kw_only=True):
    """Key server: these receptions end; those that have ended already stay as they are."""

    ends: list[EndRow]


class EndAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The receptions that ended by this request or one before it, as history has them."""

    jti: str
    receptions: list[ReceptionRow]


# Withdrawal, as S0-5 has it


class WithdrawalRequest(Request, frozen=True, kw_only=True):
    """Device: it is about to withdraw from `channel`, a name or number, or from `ALL_CHANNELS`."""

    channel: str


class WithdrawalBegun(msgspec.Struct, frozen=True, kw_only=True):
    """What the erasure statement must carry. `scope` is a channel's number in digits, or `ALL_CHANNELS`.

    `key_ids` are the granted keys that may still open something; those not erased stay charged.
    """

    jti: str
    statement_nonce: str
    counter: int
    scope: str
    channels: list[str]
    key_ids: list[str]


class ErasureStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence of withdrawal: payload of a JWS (`typ` sealcast-erasure) by the device's signing key.

    `erased` are the key IDs that the device destroyed, `last_index` per channel number the SRTP index of the
    last packet it opened. `kek_erased` says that its KEK is gone as well.
    """

    operator: str
    device: str
    scope: str
    statement_nonce: str
    counter: int
    erased: Annotated[list[str], msgspec.Meta(max_length=KEY_IDS_MAX)]
    last_index: dict[str, int] = msgspec.field(default_factory=dict)
    kek_erased: bool = False


class WithdrawRequest(Request, frozen=True, kw_only=True):
    """Device: its erasure statement, sent until the receipt is there."""

    statement: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the server's JWS (`typ` sealcast-receipt): the subscriptions closed at `closed_at`."""

    operator: str
    number: int
    device: str
    channels: list[str]
    closed_at: str
    erased: list[str]
    statement_sha256: str


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a statement that verified: the receipt as a JWS, proof for the device."""

    jti: str
    receipt: str


OffenceKind = Literal["bad", "replayed", "stale", "foreign"]


class OffenderRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device that sent an illegitimate statement; `pardoned_at` once the operator let it off."""

    device: str
    kind: OffenceKind
    at: str
    detail: str
    pardoned_at: str | None = None


class OffenderList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to the list of offenders, the newest first."""

    offenders: list[OffenderRow]


class OffenderPardonRequest(Request, frozen=True, kw_only=True):
    """Operator: a device is in good standing again."""

    device: str


# Removal on the air


class SubscriberRemoveRequest(Request, frozen=True, kw_only=True):
    """Operator: take a device off a channel's list; `now` has the sender change keys at once."""

    channel: str
    device: str
    now: bool = False


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """The device is off the list. `fence_epoch` is the first that it cannot have, `on_air` the present one.

    `skipped` are published epochs that it had the key of, and that never go on air. `window_ms` is how long
    the others have to fetch the next key, with `now`.
    """

    jti: str
    channel: str
    fence_epoch: int
    on_air: int | None
    skipped: list[int]
    window_ms: int | None = None


# Pushed notices


class EventsRequest(Request, frozen=True, kw_only=True):
    """Device or sender: be told by server-sent events of what happens on channels."""

    channels: Annotated[list[str], msgspec.Meta(max_length=64)]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event: a hint to ask the key server, drawn uniformly from the window; it changes nothing itself.

    `key-change`: the key `key_id` comes next; `fence`: a sender is to report now; `ended`: ask why.
    """

    kind: Literal["key-change", "fence", "ended"]
    channel: int
    key_id: str = ""
    opens_in_ms: int = 0
    closes_in_ms: int = 0
