"""Owns signing and sealing: JWS (RFC 7515) by the caller, JWE (RFC 7516) to one recipient's key.

It does what the tables of algorithms in `messages.jwk` say and nothing else, which is why it takes a tenth of
the time of a library for all of JOSE; one of those is the oracle of its tests.

The algorithm follows from the key alone; what a token's header claims must agree with it. Each token has
a `typ`, so that one kind is never taken for another.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.messages.compact import (
    HEADERS_MAX,
    JWE_PARTS,
    JWS_PARTS,
    SealedHeader,
    SignedHeader,
    decode_header,
    decode_part,
    decode_signed_header,
    encode_header,
    encode_part,
)
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.messages.jwk import HeldPair, Jwk, native_key
from sealcast.messages.keytools import signing_tool, wrapping_tool

TYP_REQUEST = "sealcast-request"
TYP_ANSWER = "sealcast-answer"
TYP_SEALED_ANSWER = "sealcast-sealed-answer"
TYP_SHARED_ANSWER = "sealcast-shared-answer"
TYP_SEALED_KEY = "sealcast-sealed-key"
TYP_VAULT = "sealcast-vault"
TYP_ERASURE = "sealcast-erasure"
TYP_RECEIPT = "sealcast-receipt"

CONTENT_ENCRYPTION, DIRECT = "A256GCM", "dir"
CONTENT_KEY_BITS, IV_BYTES, TAG_BYTES = 256, 12, 16
KID_CHARS_MAX = 128
DERIVATION = "scrypt"
"""Private header parameter (RFC 7516 §4.3) of what is sealed under a passphrase: `n`, `r`, `p`, `salt`."""


class _Parts(NamedTuple):
    """A JWS taken apart: what is signed, in ASCII, and what is inside, decoded."""

    algorithm: str
    signed: bytes
    payload: bytes
    signature: bytes


class UnverifiedHeader(NamedTuple):
    """What a token says of itself, not yet believed: who signed it and what it is.

    `parts` is the token as it was taken apart, so that `verify` need not do it again.
    """

    kid: str
    typ: str
    parts: _Parts

    def __repr__(self) -> str:
        return f"UnverifiedHeader(kid={self.kid!r}, typ={self.typ!r})"


def sign(payload: bytes, key: Jwk | HeldPair, *, kid: str, typ: str) -> str:
    """Return a compact JWS of `payload` under `key`; raises FormatError for a key that does not sign."""
    header = SignedHeader(alg=key.signing_algorithm, kid=kid, typ=typ)
    signed = encode_header(header) + b"." + encode_part(payload)
    return (signed + b"." + encode_part(signing_tool(key).sign(signed))).decode("ascii")


def peek(token: str | bytes) -> UnverifiedHeader:
    """Read a JWS's header before its signature is checked; raises FormatError."""
    header, parts = _take_apart(_bounded(token))
    if not header.typ or not 0 < len(header.kid) <= KID_CHARS_MAX:
        raise FormatError("a JWS header needs kid and typ")
    return UnverifiedHeader(kid=header.kid, typ=header.typ, parts=parts)


def unverified_payload(token: str | bytes) -> bytes:
    """Return the payload of a JWS that nobody vouches for yet; raises FormatError.

    For the one kind of message that brings its own key: it counts for nothing until `verify` passed.
    """
    return _take_apart(_bounded(token))[1].payload


def verify(token: str | bytes | UnverifiedHeader, key: Jwk, *, typ: str) -> bytes:
    """Return the payload of a JWS, given as it is or as `peek` read it.

    Raises AuthenticationError if it is not by `key` or not a `typ`.
    """
    algorithm, data = key.signing_algorithm, token if isinstance(token, UnverifiedHeader) else _bounded(token)
    try:
        if isinstance(data, UnverifiedHeader):
            claimed, parts = data.typ, data.parts
        else:
            header, parts = _take_apart(data)
            claimed = header.typ
        is_theirs = parts.algorithm == algorithm and signing_tool(key).verify(parts.signature, parts.signed)
    except Exception as error:
        raise AuthenticationError("the signature does not verify") from error
    if not is_theirs:
        raise AuthenticationError("the signature does not verify")
    if claimed != typ:
        raise AuthenticationError(f"a signed message of another kind than {typ}")
    return parts.payload


def seal(plaintext: bytes, recipient: Jwk, *, kid: str, typ: str) -> str:
    """Return a compact JWE that only the holder of `recipient` opens; raises FormatError for a bad key."""
    algorithm = recipient.sealing_algorithm
    content_key = AESGCM.generate_key(CONTENT_KEY_BITS)
    try:
        wrapped, ephemeral = wrapping_tool(recipient).wrap(content_key)
    except ValueError as error:
        raise FormatError(f"nothing can be sealed to this key: {recipient!r}") from error
    if ephemeral is None:
        return _encrypt(plaintext, content_key, _protected(algorithm, kid, typ), wrapped)
    header = SealedHeader(alg=algorithm, enc=CONTENT_ENCRYPTION, kid=kid, typ=typ, epk=ephemeral)
    return _encrypt(plaintext, content_key, encode_header(header), wrapped)


def unseal(token: str | bytes, key: Jwk | HeldPair, *, typ: str) -> bytes:
    """Return the plaintext of a JWE; raises AuthenticationError if it is not for `key` or not a `typ`."""
    algorithm = key.sealing_algorithm

    def content_key(header: SealedHeader, wrapped: bytes) -> bytes:
        return wrapping_tool(key).unwrap(wrapped, header.epk)

    return _decrypt(token, algorithm, content_key, typ)


def seal_direct(
    plaintext: bytes, key: Jwk, *, typ: str, derivation: dict[str, int | str] | None = None
) -> str:
    """Return a compact JWE under `key` itself (`dir`), for what stays on this machine.

    `derivation` says in the protected header, as `scrypt`, how the key follows from a passphrase.
    """
    header = SealedHeader(alg=DIRECT, enc=CONTENT_ENCRYPTION, typ=typ, scrypt=derivation)
    return _encrypt(plaintext, _secret(key), encode_header(header), b"")


def unseal_direct(token: str | bytes, key: Jwk, *, typ: str) -> bytes:
    """Open what `seal_direct` made; raises AuthenticationError."""

    def content_key(header: SealedHeader, wrapped: bytes) -> bytes:
        if wrapped or header.epk is not None:
            raise FormatError("what is sealed under a key itself has no other key")
        return _secret(key)

    return _decrypt(token, DIRECT, content_key, typ)


def _take_apart(token: bytes) -> tuple[SignedHeader, _Parts]:
    """Return a JWS's header and parts, none of them believed; raises FormatError."""
    parts = token.split(b".", JWS_PARTS)
    if len(parts) != JWS_PARTS:
        raise FormatError("not a compact JWS")
    try:
        header = decode_signed_header(parts[0])
        payload, signature = decode_part(parts[1]), decode_part(parts[2])
    except FormatError as error:
        raise FormatError("not a compact JWS") from error
    signed = token[: len(token) - len(parts[2]) - 1]
    return header, _Parts(header.alg, signed, payload, signature)


@lru_cache(HEADERS_MAX)
def _protected(algorithm: str, kid: str, typ: str) -> bytes:
    """Return the header of what is sealed to one key without an ephemeral one: always the same."""
    return encode_header(SealedHeader(alg=algorithm, enc=CONTENT_ENCRYPTION, kid=kid, typ=typ))


def _encrypt(plaintext: bytes, content_key: bytes, protected: bytes, wrapped: bytes) -> str:
    """Return a JWE with a fresh IV, which also the bare cipher's own generator draws."""
    iv = AESGCM.generate_key(CONTENT_KEY_BITS)[:IV_BYTES]
    sealed = AESGCM(content_key).encrypt(iv, plaintext, protected)
    parts = (encode_part(wrapped), encode_part(iv), encode_part(sealed[:-TAG_BYTES]))
    return b".".join((protected, *parts, encode_part(sealed[-TAG_BYTES:]))).decode("ascii")


def _decrypt(
    token: str | bytes, algorithm: str, content_key: Callable[[SealedHeader, bytes], bytes], typ: str
) -> bytes:
    data = _bounded(token)
    try:
        protected, *others = data.split(b".", JWE_PARTS)
        header = decode_header(protected, SealedHeader)
        wrapped, iv, ciphertext, tag = map(decode_part, others)
        _check_form(header, algorithm, iv, tag)
        cipher = AESGCM(content_key(header, wrapped))
        plaintext = cipher.decrypt(iv, ciphertext + tag, protected)
    except Exception as error:
        raise AuthenticationError("a sealed message that this key does not open") from error
    if header.typ != typ:
        raise AuthenticationError(f"a sealed message of another kind than {typ}")
    return plaintext


def _check_form(header: SealedHeader, algorithm: str, iv: bytes, tag: bytes) -> None:
    """Raise FormatError for what the key does not stand for, whatever the header claims."""
    is_ours = (header.alg, header.enc) == (algorithm, CONTENT_ENCRYPTION)
    if not is_ours or (header.scrypt is not None and algorithm != DIRECT):
        raise FormatError("a sealed message of another algorithm than the key's")
    if (len(iv), len(tag)) != (IV_BYTES, TAG_BYTES):
        raise FormatError("a sealed message with an IV or tag of another length")


def _secret(key: Jwk) -> bytes:
    """Return a symmetric key's bytes; raises FormatError for another kind."""
    native = native_key(key)
    if not isinstance(native, bytes):
        raise FormatError("only a symmetric key seals by itself")
    return native


def _bounded(token: str | bytes) -> bytes:
    if len(token) > MESSAGE_BYTES_MAX:
        raise FormatError(f"a token has at most {MESSAGE_BYTES_MAX} bytes, not {len(token)}")
    try:
        return token.encode("ascii") if isinstance(token, str) else bytes(token)
    except UnicodeEncodeError as error:
        raise FormatError("a token is ASCII") from error
