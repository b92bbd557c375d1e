"""Owns how a vault's key follows from a passphrase: scrypt (RFC 7914), with its parameters in the vault.

The parameters stand in the protected header of the vault's JWE as `scrypt`: `{"n", "r", "p", "salt"}`. They
are bounded when they are read: a file from elsewhere must not be able to take the memory of this machine.
"""

import unicodedata
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sealcast.core.errors import FormatError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode
from sealcast.messages.jose import DERIVATION
from sealcast.messages.jwk import OCT_BYTES, Jwk

N, R, P = 1 << 17, 8, 1
"""128 MiB and 0.4 s for each guess (the parameters of OWASP's Password Storage Cheat Sheet)."""

N_MIN, N_MAX = 1 << 15, 1 << 18
"""From 32 MiB, below which guessing is cheap, to 256 MiB, which a small machine still has."""

P_MAX = 4
SALT_BYTES = 16
SALT_CHARS = 22
CHARS_MIN, CHARS_MAX = 8, 1_024
HEADER_CHARS_MAX = 1_024
"""The header of a vault has about 150 characters."""


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of scrypt, as far as they are accepted; `salt` is 16 bytes in base64url."""

    n: Annotated[int, msgspec.Meta(ge=N_MIN, le=N_MAX)]
    r: Annotated[int, msgspec.Meta(ge=R, le=R)]
    p: Annotated[int, msgspec.Meta(ge=1, le=P_MAX)]
    salt: Annotated[str, msgspec.Meta(min_length=SALT_CHARS, max_length=SALT_CHARS)]

    def as_header(self) -> dict[str, int | str]:
        """Return it as the header parameter says it."""
        return {"n": self.n, "r": self.r, "p": self.p, "salt": self.salt}


class _Header(msgspec.Struct, frozen=True):
    """What is looked for in a vault's header."""

    derivation: Derivation | None = msgspec.field(default=None, name=DERIVATION)


def new_derivation(random: Random) -> Derivation:
    """Return today's parameters with a fresh salt."""
    return Derivation(n=N, r=R, p=P, salt=b64url_encode(random.bytes(SALT_BYTES)))


def derivation_of(token: bytes) -> Derivation | None:
    """Return how the key of a vault follows from a passphrase, None if it lies in a key file.

    Raises FormatError for what is no JWE, and for parameters beyond the bounds.
    """
    header = token.split(b".", 1)[0][: HEADER_CHARS_MAX + 1]
    if len(header) > HEADER_CHARS_MAX:
        raise FormatError("its header is too long")
    found = decode(b64url_decode(header.decode("ascii", "replace")), _Header).derivation
    if found is not None and (found.n & (found.n - 1) or len(b64url_decode(found.salt)) != SALT_BYTES):
        raise FormatError("its scrypt parameters are none: n is a power of two, the salt has 16 bytes")
    return found


def derive(passphrase: Secret, how: Derivation) -> Jwk:
    """Return the key that follows from a passphrase; 0.4 s and 128 MiB with today's parameters.

    Raises UsageError where that memory is not to be had.
    """
    kdf = Scrypt(salt=b64url_decode(how.salt), length=OCT_BYTES, n=how.n, r=how.r, p=how.p)
    try:
        return Jwk(kty="oct", k=b64url_encode(kdf.derive(passphrase.reveal())))
    except MemoryError as error:
        mib = 128 * how.n * how.r >> 20
        raise UsageError(
            f"this machine has not the {mib} MiB that opening a passphrase's vault takes"
        ) from error


def passphrase_of(text: str, *, is_new: bool) -> Secret:
    """Return what was typed, or stood in a file, as a passphrase; raises UsageError for one that will not do.

    The same characters are the same passphrase however a keyboard composes them (RFC 8265 §4.2.2).
    """
    normal = unicodedata.normalize("NFC", text.rstrip("\r\n"))
    if not normal:
        raise UsageError("the passphrase is empty")
    if len(normal) > CHARS_MAX or (is_new and len(normal) < CHARS_MIN):
        raise UsageError(f"a passphrase has {CHARS_MIN} to {CHARS_MAX} characters; take some words")
    try:
        return Secret(normal.encode())
    except UnicodeEncodeError as error:
        raise UsageError("the passphrase is not text in UTF-8") from error
