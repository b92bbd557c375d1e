"""Owns what is said about tariffs, customers and usage: what something costs, who pays, and for what.

Instants are milliseconds since 1970 by the key server's clock; amounts are micro-units, millionths of a
currency's major unit.
"""

from typing import Annotated, Literal

import msgspec

from sealcast.messages.requests import Request

NAME_CHARS_MAX = 64
ROWS_MAX = 500
"""Rows that a list's page has at most; fewer, if they would not fit into a message."""

INSTANT_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, where calendars end."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Instant = Annotated[int, msgspec.Meta(ge=0, le=INSTANT_MS_MAX)]
RowNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Place = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]
QuantityName = Literal["periods", "subscribed-ms", "received-ms", "bytes", "packets", "epochs"]
CycleKind = Literal["monthly", "weekly", "daily", "closing"]


# Tariffs


class StepTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`price_micro` for each `per` units, up to `up_to` units in a period (None: without end)."""

    price_micro: int
    per: int = 1
    up_to: int | None = None


class PriceTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One price: what it counts, its steps, and how many units of each period are free."""

    name: Name
    quantity: QuantityName
    steps: list[StepTerms]
    mode: Literal["graduated", "volume"] = "graduated"
    free: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a tariff charges while one version of it is valid; `tax_ppm` in millionths, on top."""

    prices: list[PriceTerms]
    minimum_micro: int = 0
    cap_micro: int | None = None
    tax_ppm: int = 0


class TariffAddRequest(Request, frozen=True, kw_only=True):
    """Operator: a tariff, or another version of one, from `from_ms` on (None: now), to `until_ms`.

    A new tariff needs at least one of `channels`, to whose subscribers it applies from then on.
    """

    name: Name
    currency: str
    terms: Terms
    channels: list[str] = msgspec.field(default_factory=list)
    from_ms: Instant | None = None
    until_ms: Instant | None = None


class TariffListRequest(Request, frozen=True, kw_only=True):
    """Operator: tariffs by name, behind `after`; only `name` if it is given."""

    name: str | None = None
    after: str = ""
    limit: PageSize = ROWS_MAX


class TariffVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a tariff."""

    from_ms: int
    until_ms: int | None
    terms: Terms


class TariffRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tariff with its versions in order of time."""

    name: str
    currency: str
    versions: list[TariffVersionRow]


class TariffList(msgspec.Struct, frozen=True, kw_only=True):
    """Tariffs by name; `more` if there are others behind the last."""

    tariffs: list[TariffRow]
    more: bool = False


class TariffAssignRequest(Request, frozen=True, kw_only=True):
    """Operator: a channel's subscribers, or one `device`, have this tariff from `from_ms` on (None: now).

    Without a tariff the device has the channel's again, and the channel none.
    """

    channel: str
    tariff: str | None
    device: str | None = None
    from_ms: Instant | None = None


class AssignmentListRequest(Request, frozen=True, kw_only=True):
    """Operator: what channels and devices were assigned, in the order of making, above number `after`.

    Only of a channel, a device ('': of whole channels) or a tariff, if these are given.
    """

    channel: str | None = None
    device: str | None = None
    tariff: str | None = None
    after: Place = 0
    limit: PageSize = ROWS_MAX


class AssignmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tariff of a channel from an instant on; for one device, or for all that have no other (None)."""

    number: int
    channel: int
    channel_name: str
    device: str | None
    tariff: str | None
    from_ms: int


class AssignmentList(msgspec.Struct, frozen=True, kw_only=True):
    """Assignments by number; `more` if there are others behind the last."""

    assignments: list[AssignmentRow]
    more: bool = False


# Customers


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets bills, how often, in which time zone, and for which devices."""

    id: str
    name: str
    cycle: CycleKind
    zone: str
    anchor_day: int
    devices: list[str]


class CustomerSetRequest(Request, frozen=True, kw_only=True):
    """Operator: make a customer or change what is given of it; `devices` join it.

    Its cycle cannot change, nor can a device leave it, once it was billed.
    """

    id: str
    name: str | None = None
    cycle: CycleKind | None = None
    zone: str | None = None
    anchor_day: int | None = None
    devices: list[str] = msgspec.field(default_factory=list)


class CustomerListRequest(Request, frozen=True, kw_only=True):
    """Operator: customers by id, behind `after`; only `id` if it is given."""

    id: str | None = None
    after: str = ""
    limit: PageSize = ROWS_MAX


class CustomerList(msgspec.Struct, frozen=True, kw_only=True):
    """Customers that were set or billed; a device that is not listed is its own, under its serial number."""

    customers: list[CustomerRow]
    more: bool = False


# Usage


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One usage event: an epoch that a device was granted and that was on air. `id` is its for ever.

    `turn` is the epoch that began its turn of the schedule; all of one turn are one key epoch.
    """

    id: str
    device: str
    channel: int
    channel_name: str
    epoch: int
    turn: int
    cause: str
    start_ms: int
    end_ms: int
    bytes: int
    packets: int
    recorded_at_ms: int


class UsageListRequest(Request, frozen=True, kw_only=True):
    """Operator: usage events in the order in which they were recorded, behind `after` (a `next`).

    Only those of a device, a channel, or that lie in a span, if these are given.
    """

    device: str | None = None
    channel: str | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    after: str = ""
    limit: PageSize = ROWS_MAX


class UsageList(msgspec.Struct, frozen=True, kw_only=True):
    """Usage events; `next` is what to ask behind for more, also later; `more` if there are some now."""

    usage: list[UsageRow]
    next: str
    more: bool = False


class AuditRequest(Request, frozen=True, kw_only=True):
    """Operator: verify again what bills rest on, a bounded piece at a time, behind `after` (a `next`)."""

    after: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it has to be: `kind` for programs, the rest for people."""

    kind: str
    subject: str
    detail: str


class AuditAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, by kind, what is wrong, and where to go on (None: all is done)."""

    checked: dict[str, int]
    findings: list[Finding]
    next: str | None = None
