"""Owns what is said to an escrow: who joins, its keys and prices, orders and their money, blind openings.

```
seller ── key-add: price class ──► escrow ── KeyDocument (JWS) ──► into the seller's packages
buyer  ── place, pay ──► lead escrow ── receipt "paid" (JWS): the money is held
device ── open: c' = c·r^e, signed ──► escrow ── m = c'^d ──► device: z = m/r
lead   ── receipt "issued" (JWS) ──► the other escrows, where there are any: open as well
buyer  ── confirm ──► money to the seller       refund, dispute, silence: by rule (docs/spec/escrow.md)
```
Amounts are micro-units, instants milliseconds since 1970 by the escrow's clock.
"""

from typing import Annotated, Literal

import msgspec

from sealcast.keys.rsakem import BITS_MAX, BITS_MIN
from sealcast.messages.charging import Name, PageSize, RowNumber
from sealcast.messages.enrolment import Certificates
from sealcast.messages.package import PackageId
from sealcast.messages.requests import Request

TYP_ESCROW_KEY, TYP_ESCROW_RECEIPT = "sealcast-escrow-key", "sealcast-escrow-receipt"
TYP_FAULT = "sealcast-package-fault"
TYP_ESCROW_PLACE, PLACE_PATH = "sealcast-escrow-place", "/v1/escrow"
REASON_CHARS_MAX = 500

PartyId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
OrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{22}\Z")]
"""16 random bytes of the lead escrow, in base64url."""

KeyId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
"""The RFC 7638 thumbprint of the RSA key: unique over all escrows."""

Amount = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
Reason = Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)]
OrderState = Literal[
    "placed",
    "paying",
    "paid",
    "issued",
    "disputed",
    "confirmed",
    "refunding",
    "released",
    "refunded",
    "expired",
]
ReceiptKind = Literal[
    "placed", "paid", "issued", "disputed", "confirmed", "released", "refunded", "expired", "opened"
]
"""What a receipt attests. `opened` is by an escrow that is not the lead."""

OPENS_UPON: ReceiptKind = "issued"
"""What an escrow that is not the lead opens upon: the lead was paid, and has opened its own part.

An order that is paid and not more may be taken back by its buyer alone; so the lead is asked to open first.
"""

Outcome = Literal["release", "refund"]


def escrow_audience(operator: str, escrow: str) -> str:
    """Return the `aud` of a request to one escrow: what is signed for it counts at no other."""
    return f"{operator}/{escrow}"


# Who takes part


class EscrowPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escrow's word that a TLS key is its own: `tls` is SHA-256 of its SubjectPublicKeyInfo (DER).

    Another escrow cannot show it as its own, since whoever asks compares it with the connection's key.
    """

    version: int
    escrow: str
    operator: str
    tls: bytes


class EscrowPlaceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `GET` of `PLACE_PATH`: the JWS of `EscrowPlace`, and the escrow's certificate (PEM)."""

    place: str
    certificate: str


class JoinRequest(Request, frozen=True, kw_only=True):
    """Device or seller with the operator's certificates: be known here. Signed by the key they are for."""

    certificates: Certificates


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to join: who the caller is here, and until when its certificate is good."""

    jti: str
    id: str
    role: str
    escrow: str


class SellerAdmitRequest(Request, frozen=True, kw_only=True):
    """Operator: this party may have keys made and sell; `fee_per_mille` of each price stays here."""

    seller: PartyId
    fee_per_mille: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0


class SellerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A seller as the escrow knows it."""

    seller: str
    fee_per_mille: int
    keys: int
    admitted_at_ms: int


class SellerListRequest(Request, frozen=True, kw_only=True):
    """Operator: all sellers."""


class SellerList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to admit and list."""

    sellers: list[SellerRow]


# Keys: one for each seller and price class, used for nothing else


class LeadKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key under which orders are placed at another escrow, by that escrow's id and the key's."""

    escrow: PartyId
    key: KeyId


class KeyDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escrow's RSA key as it certifies it, with its address: signed by the escrow's signing key.

    Price and payee are those of the escrow's record; what stands here is for people. With `upon` it opens
    further shares of packages that are sold under that key of another escrow, and takes no orders itself.
    """

    version: int
    escrow: str
    operator: str
    key: KeyId
    modulus: bytes
    exponent: int
    seller: str
    price_class: str
    price_micro: int
    currency: str
    servers: list[str]
    created_at_ms: int
    upon: LeadKey | None = None


class EscrowKeyAddRequest(Request, frozen=True, kw_only=True):
    """Seller: a key for a new price class; asked again with the same terms, the same key.

    Another price under the same name is refused: a price class never changes. `upon` as in `KeyDocument`.
    """

    price_class: Name
    price_micro: Amount
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    bits: Annotated[int, msgspec.Meta(ge=BITS_MIN, le=BITS_MAX)] = BITS_MIN
    upon: LeadKey | None = None


class EscrowKeyListRequest(Request, frozen=True, kw_only=True):
    """Seller: its keys; operator: all. In the order in which they were made, behind the first `after`."""

    after: RowNumber = 0


class EscrowKeyCloseRequest(Request, frozen=True, kw_only=True):
    """Seller: take no new orders under this key; those that were placed go on."""

    key: KeyId


class EscrowKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key: `document` is the JWS of its `KeyDocument`, `certificate` the escrow's (PEM)."""

    key: str
    seller: str
    price_class: str
    price_micro: int
    currency: str
    bits: int
    is_open: bool
    orders: int
    document: str
    certificate: str


class EscrowKeyList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to all operations on keys; `next` is `after` of the next page."""

    keys: list[EscrowKeyRow]
    next: int | None = None


# Orders


class OrderPlaceRequest(Request, frozen=True, kw_only=True):
    """Device: an order under a key; price and payee are the key's. `package` is what the buyer calls it."""

    key: KeyId
    package: PackageId


class OrderRequest(Request, frozen=True, kw_only=True):
    """One order, by its id: pay, confirm, show."""

    order: OrderId


class OrderReasonRequest(OrderRequest, frozen=True, kw_only=True):
    """Refund or dispute an order. `fault` is the device's own word that it does not open (JWS `Fault`)."""

    reason: Reason = ""
    fault: str | None = None


class OrderResolveRequest(OrderRequest, frozen=True, kw_only=True):
    """Operator: end a dispute."""

    outcome: Outcome
    reason: Reason = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device found wrong, signed by it: a share, a chunk, or that `number` good shares give no key.

    `key` is the lead's key in the package's header. A seller chooses the ids of his packages, and only the
    key says under whose price he may have packed them: an order is taken back by a fault under its own key.
    """

    order: OrderId
    key: KeyId
    package: PackageId
    what: Literal["share", "chunk", "key"]
    number: int
    device: str


class OrderOpenRequest(OrderRequest, frozen=True, kw_only=True):
    """Device: open c' = c·r^e mod n blindly, for an order that was paid. One order opens one c' here.

    `blinded` is c' as long as n. `certificate` is the caller's signing certificate (PEM). `receipt` is the
    lead escrow's JWS `OPENS_UPON`, at an escrow that is not the lead, with `lead`, the lead's certificate.
    """

    key: KeyId
    blinded: bytes
    certificate: str
    receipt: str | None = None
    lead: str | None = None


class OrderOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to open: m = c'^d mod n, as long as n; the same for each repeat."""

    order: str
    key: str
    opened: bytes


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its parties see it. `until_ms`: when silence ends the present state, None for an end.

    `receipts` are the JWS that the escrow signed at each step, oldest first.
    """

    order: OrderId
    number: int
    state: OrderState
    key: KeyId
    package: PackageId
    buyer: str
    seller: str
    price_class: str
    price_micro: int
    fee_micro: int
    currency: str
    placed_at_ms: int
    changed_at_ms: int
    until_ms: int | None
    reason: str = ""
    receipts: list[str] = []


class OrderListRequest(Request, frozen=True, kw_only=True):
    """Device, seller: its orders; operator: all. In the order of their numbers, behind `after`."""

    after: RowNumber = 0
    limit: PageSize = 100
    state: OrderState | None = None
    package: PackageId | None = None


class OrderList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to all operations on orders; `next` is `after` of the next page."""

    orders: list[OrderRow]
    next: int | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an escrow attests of an order, signed by its signing key: the notice that each party gets."""

    escrow: str
    operator: str
    order: OrderId
    kind: ReceiptKind
    at_ms: int
    key: KeyId
    package: PackageId
    buyer: str
    seller: str
    price_micro: int
    fee_micro: int
    currency: str
    reason: str = ""


class NoticeListRequest(Request, frozen=True, kw_only=True):
    """Device, seller, operator: receipts of its orders, in the order in which they were signed."""

    after: RowNumber = 0
    limit: PageSize = 100


class NoticeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt with its number; `receipt` is the JWS."""

    number: int
    order: str
    kind: ReceiptKind
    at_ms: int
    receipt: str


class NoticeList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to notices; `certificate` is the escrow's, that signed them."""

    notices: list[NoticeRow]
    certificate: str
    next: int | None = None


# Money


class DepositRequest(Request, frozen=True, kw_only=True):
    """Operator: a buyer paid in. `reference` is the payment's own id: told twice it is one."""

    buyer: PartyId
    amount_micro: Amount
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    reference: Name


class PayoutRequest(Request, frozen=True, kw_only=True):
    """Operator: a seller, or a buyer, was paid out; not more than it has. `reference` as in a deposit."""

    party: PartyId
    amount_micro: Amount
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    reference: Name


class BalanceRequest(Request, frozen=True, kw_only=True):
    """Device, seller: its balances; operator: those of `party`, or the escrow's own accounts."""

    party: PartyId | None = None


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has in one currency, above 0 in its owner's favour."""

    account: str
    currency: str
    balance_micro: int


class BalanceList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to deposit, payout and balance."""

    balances: list[BalanceRow]
