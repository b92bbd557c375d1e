"""Owns what is said to a device agent over its socket: the operations, their answers, the one form of a no.

```
client ── sign: a request's bytes ──► agent ── signature             only what a device asks an escrow
client ── blind: header, order ──► agent ── OrderOpenRequest (JWS)   c' = c·r^e; r stays in the agent
client ── unblind: m ──► agent ── how many shares of how many        z = m/r, share and K stay there
client ── open, copy: descriptors ──► agent ── count of bytes        content that verified is in the sink
```
No answer holds a secret. `docs/spec/agent.md` has the frames and the rules of each operation.
"""

from typing import Annotated

import msgspec

from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import OrderId
from sealcast.messages.jwk import Jwk
from sealcast.messages.package import PackageId
from sealcast.messages.requests import Role

VERSION = 1
TYP_PENDING, TYP_ENTITLEMENT = "sealcast-pending", "sealcast-entitlement"
"""What an agent keeps on disk between blinding and unblinding, and for good: sealed to the device's KEK."""

ShareNumber = Annotated[int, msgspec.Meta(ge=1, le=255)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Claim = Annotated[str, msgspec.Meta(max_length=200)]


class Hello(msgspec.Struct, tag="hello", tag_field="op", frozen=True, forbid_unknown_fields=True):
    """Who are you: the first question of each client."""


class Sign(msgspec.Struct, tag="sign", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign a request of `operations_escrow.DEVICE_SIGNS`: `signed` is header ‖ "." ‖ payload of its JWS."""

    signed: bytes


class Blind(
    msgspec.Struct, tag="blind", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Blind one escrow's part of a package for an order, and sign the request to open it.

    `header` and `licence` are the JWS of the package and of the order's licence, where it needs one. `number`
    is the part's share number. `jti` and `nonce` are claims of the request; `receipt` and `lead` as in it.
    """

    header: str
    number: ShareNumber
    order: OrderId
    jti: Claim
    nonce: Claim = ""
    licence: str | None = None
    receipt: str | None = None
    lead: str | None = None


class Unblind(
    msgspec.Struct, tag="unblind", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Take what an escrow opened (m) for one part of an order."""

    order: OrderId
    number: ShareNumber
    opened: bytes


class AskFault(
    msgspec.Struct, tag="fault", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The device's word of what was wrong with an order's share or content."""

    order: OrderId


class Open(msgspec.Struct, tag="open", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open a package that was bought, for reading; comes with one descriptor, of the file or of its head."""


class Copy(msgspec.Struct, tag="copy", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write content into a descriptor; comes with two, source and sink.

    The source has the package's bytes at their places, as far as this read needs them; the rest may be holes.
    """

    session: Count
    offset: Count
    length: Count


class Close(
    msgspec.Struct, tag="close", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """End a session; the end of the connection ends all of its own."""

    session: Count


class Revoked(msgspec.Struct, tag="revoked", tag_field="op", frozen=True, forbid_unknown_fields=True):
    """Know who was revoked; comes with one descriptor, of a file with the key server's list (DER)."""


class AskEntitlements(msgspec.Struct, tag="entitlements", tag_field="op", frozen=True):
    """What this device can open."""


class Forget(
    msgspec.Struct, tag="forget", tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Erase the content keys of a package, and what waits for an opening of it."""

    package: PackageId


Ask = Hello | Sign | Blind | Unblind | AskFault | Open | Copy | Close | Revoked | AskEntitlements | Forget


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent takes at most: `frame_bytes` a frame, `sessions` of a connection, `pending` orders."""

    frame_bytes: int
    sessions: int
    pending: int


class Presence(msgspec.Struct, tag="hello", tag_field="answer", frozen=True, kw_only=True):
    """Answer to hello: the device, all of it public; its key `servers`; `token` names its token."""

    version: int
    id: str
    role: Role
    operator: str
    signing: Jwk
    kek: Jwk
    ca_pem: str
    server_key: Jwk
    server_kek: Jwk
    servers: list[str]
    certificates: Certificates
    limits: Limits
    token: str | None = None


class Signature(msgspec.Struct, tag="signature", tag_field="answer", frozen=True, kw_only=True):
    """Answer to sign: the JWS's third part, before base64url."""

    signature: bytes


class Blinded(msgspec.Struct, tag="blinded", tag_field="answer", frozen=True, kw_only=True):
    """Answer to blind: the whole request (JWS), for the `escrow` of that name at `servers`."""

    request: str
    escrow: str
    servers: list[str]


class Progress(msgspec.Struct, tag="progress", tag_field="answer", frozen=True, kw_only=True):
    """Answer to unblind: shares that are held of those needed; `complete`: the package opens here."""

    have: int
    threshold: int
    complete: bool


class FaultWord(msgspec.Struct, tag="fault", tag_field="answer", frozen=True, kw_only=True):
    """Answer to fault: a JWS of `messages.escrow.Fault`, None where nothing was found wrong."""

    fault: str | None


class Session(msgspec.Struct, tag="session", tag_field="answer", frozen=True, kw_only=True):
    """Answer to open: a number for copy, and what the content is called; `size` in bytes."""

    session: int
    package: PackageId
    size: int
    chunk_bytes: int
    title: str
    name: str
    media_type: str


class Copied(msgspec.Struct, tag="copied", tag_field="answer", frozen=True, kw_only=True):
    """Answer to copy: how many bytes of content are in the sink."""

    count: int


class Done(msgspec.Struct, tag="done", tag_field="answer", frozen=True):
    """Answer to what has no other."""


class EntitlementRow(msgspec.Struct, frozen=True, kw_only=True):
    """A package that opens here, or waits to: `have` of `threshold` shares.

    `digest` is `messages.package.header_digest` of its header: another package may claim the same id.
    """

    package: PackageId
    digest: str
    title: str
    order: str
    complete: bool
    have: int
    threshold: int


class EntitlementList(msgspec.Struct, tag="entitlements", tag_field="answer", frozen=True, kw_only=True):
    """Answer to entitlements."""

    entitlements: list[EntitlementRow]


class Failed(msgspec.Struct, tag="failed", tag_field="answer", frozen=True, kw_only=True):
    """A no: `kind` names one of our errors, `type` the reason; `count` bytes were copied before."""

    kind: str
    detail: str
    type: str = ""
    count: int = 0


Answer = (
    Presence | Signature | Blinded | Progress | FaultWord | Session | Copied | Done | EntitlementList | Failed
)
