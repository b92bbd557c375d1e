"""Owns how message bodies become bytes: JSON of checked structs, and base64url without padding."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec

from sealcast.core.errors import FormatError

T = TypeVar("T")

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")

MESSAGE_BYTES_MAX = 256 * 1024
"""No message of ours comes near; a larger one is refused unread."""


def encode(message: msgspec.Struct | msgspec.Raw) -> bytes:
    """Return the JSON of a message, in UTF-8."""
    return msgspec.json.encode(message)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read and check the JSON of a message of `kind`; raises FormatError naming the place at fault."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise FormatError(f"a message has at most {MESSAGE_BYTES_MAX} bytes, not {len(data)}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not a {kind.__name__}: {error}") from error


def b64url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text: str) -> bytes:
    """Read base64url without padding; raises FormatError."""
    if not _BASE64URL.fullmatch(text):
        raise FormatError("not base64url")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise FormatError("not base64url") from error
