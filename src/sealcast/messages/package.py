"""Owns what a package and a licence say in their signed headers: content, escrows, shares of the content key.

```
package file    "SEALPACK" ‖ version u16 ‖ 0 u16 ‖ header length u32 ‖ header: JWS by the seller
                tops: BLAKE3 of each 256 leaves ‖ leaves: BLAKE3 of each sealed chunk ‖ sealed chunks
licence file    JWS of `Licence` by the seller, for one order
```
Numbers are big-endian. `docs/spec/package.md` has the rest: chunks, shares, encapsulation.
"""

import hashlib
from typing import Annotated

import msgspec

from sealcast.messages.enrolment import Certificates

TYP_PACKAGE, TYP_LICENCE = "sealcast-package", "sealcast-licence"
VERSION = 1
CHUNK_BYTES = 65_536
PACKAGE_ID_BYTES, DIGEST_BYTES = 16, 32
ESCROWS_MAX = 16
PARTS_MAX = 32
TITLE_CHARS_MAX, NAME_CHARS_MAX = 200, 200
SIZE_MAX = 2**46
"""64 TiB of content: chunk numbers stay below 2^32."""

PackageId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{22}\Z")]
"""16 random bytes in base64url: new for each packing, so that no two packages share a content key."""


HEADER_DIGEST_CHARS = 32


def header_digest(token: str) -> str:
    """Return the name of a package's header (JWS): no two packages have one, whatever id they claim."""
    return hashlib.sha256(token.encode()).hexdigest()[:HEADER_DIGEST_CHARS]


class SharePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One share of the content key: for an escrow to open blindly, or for one device.

    `number` is the share's x, 1 to 255. `commitment` is SHA-256(package id ‖ number u8 ‖ share of 66 bytes).
    An escrow's part has `escrow`, its place in the header's list from 0, `encapsulation` c = z^e mod n (RFC
    9690, as long as n) and `wrapped`, the share under AES-KWP (RFC 5649) with the key that follows from z. A
    device's part has `sealed`, a JWE of the share to the device's KEK.
    """

    number: Annotated[int, msgspec.Meta(ge=1, le=255)]
    commitment: bytes
    escrow: int | None = None
    encapsulation: bytes | None = None
    wrapped: bytes | None = None
    sealed: str | None = None


class PackageEscrow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escrow that holds no key and opens one: its key as it certified it, and who vouches for it.

    `key` is a JWS of `messages.escrow.KeyDocument`; `certificate` that of the escrow's signing key, under the
    operator's CA, in PEM.
    """

    key: str
    certificate: str


class PackageHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a package is: signed by the seller, whose certificates stand in it.

    `size` and `chunk_bytes` are of the plaintext. `root` is BLAKE3 of all tops: it stands for every byte
    behind the header. `escrows`: the first is the lead, which holds the money. `parts` are shares that are in
    the package itself; empty where each order has a licence of its own (`needs_licence`). `threshold` is how
    many shares open the content; 1 with one part: that escrow alone. `key_commitment` binds the seller to the
    content key that the shares give (`sealpack.sharing.key_commitment`); packages of before have none.
    """

    version: int
    id: PackageId
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_CHARS_MAX)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    media_type: Annotated[str, msgspec.Meta(max_length=100)]
    size: Annotated[int, msgspec.Meta(ge=0, le=SIZE_MAX)]
    chunk_bytes: int
    root: bytes
    seller: str
    operator: str
    certificates: Certificates
    created_at_ms: int
    escrows: Annotated[list[PackageEscrow], msgspec.Meta(min_length=1, max_length=ESCROWS_MAX)]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=PARTS_MAX)]
    parts: Annotated[list[SharePart], msgspec.Meta(max_length=PARTS_MAX)]
    key_commitment: bytes | None = None

    @property
    def needs_licence(self) -> bool:
        """Whether the shares come with a licence for each order, one of them for the device."""
        return not self.parts


class Licence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shares of one order's content key, of a polynomial of their own: signed by the package's seller."""

    version: int
    package: PackageId
    seller: str
    device: str
    order: str
    created_at_ms: int
    threshold: Annotated[int, msgspec.Meta(ge=2, le=PARTS_MAX)]
    parts: Annotated[list[SharePart], msgspec.Meta(min_length=2, max_length=PARTS_MAX)]
