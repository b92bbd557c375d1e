"""Owns the compact form of JOSE: parts in base64url between dots, and the headers that ours have.

```
JWS (RFC 7515 §7.1)   header . payload . signature                        signed: header . payload, in ASCII
JWE (RFC 7516 §7.1)   header . wrapped key . iv . ciphertext . tag        authenticated: header, in ASCII
```
A header with a parameter that is not ours is refused, so none of those that change what a token means
(`crit`, `b64`, `zip`) is ever passed over.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import TypeVar

import msgspec

from sealcast.core.errors import FormatError

JWS_PARTS, JWE_PARTS = 3, 5
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
"""What belongs to the other alphabet, and padding, becomes what belongs to none."""

_PADDING = (b"", None, b"==", b"=")
"""By the length modulo 4; one character alone says nothing."""

HEADERS_MAX = 20_000
"""Headers remembered, about 400 bytes each: a party has the same one in all its requests."""

H = TypeVar("H", bound="SignedHeader | SealedHeader")


class SignedHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The header of a JWS."""

    alg: str = ""
    kid: str = ""
    typ: str = ""


class EphemeralKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The sender's half of an agreement (RFC 7518 §4.6.1.1)."""

    kty: str
    crv: str
    x: str
    y: str = ""


class SealedHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The header of a JWE; `scrypt` is ours, for what is sealed under a passphrase."""

    alg: str
    enc: str
    kid: str = ""
    typ: str = ""
    epk: EphemeralKey | None = None
    scrypt: dict[str, int | str] | None = None


def encode_part(data: bytes) -> bytes:
    """Return base64url without padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL)


def decode_part(part: bytes) -> bytes:
    """Read base64url without padding; raises FormatError."""
    padding = _PADDING[len(part) % 4]
    if padding is None:
        raise FormatError("not base64url")
    try:
        return a2b_base64(part.translate(_FROM_URL) + padding, strict_mode=True)
    except Base64Error as error:
        raise FormatError("not base64url") from error


def encode_header(header: SignedHeader | SealedHeader) -> bytes:
    """Return a header as it stands in a token."""
    return encode_part(msgspec.json.encode(header))


def decode_header(part: bytes, kind: type[H]) -> H:
    """Read a header; raises FormatError."""
    try:
        return msgspec.json.decode(decode_part(part), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError("not a header of ours") from error


@lru_cache(HEADERS_MAX)
def decode_signed_header(part: bytes) -> SignedHeader:
    """Read the header of a JWS; raises FormatError."""
    return decode_header(part, SignedHeader)
