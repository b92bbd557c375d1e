"""Owns signing and sealing: JWS (RFC 7515) by the caller, JWE (RFC 7516) to one recipient's key.

The algorithm follows from the key alone; what a token's header claims must agree with it. Each token has
a `typ`, so that one kind is never taken for another.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc import jwe, jws
from joserfc.registry import HeaderParameter

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.messages.jwk import HeldPair, Jwk, jose_key

TYP_REQUEST = "sealcast-request"
TYP_ANSWER = "sealcast-answer"
TYP_SEALED_ANSWER = "sealcast-sealed-answer"
TYP_SEALED_KEY = "sealcast-sealed-key"
TYP_VAULT = "sealcast-vault"
TYP_ERASURE = "sealcast-erasure"
TYP_RECEIPT = "sealcast-receipt"

CONTENT_ENCRYPTION = "A256GCM"
KID_CHARS_MAX = 128
DERIVATION = "scrypt"
"""Private header parameter (RFC 7516 §4.3) of what is sealed under a passphrase: `n`, `r`, `p`, `salt`."""


@dataclass(frozen=True, slots=True)
class UnverifiedHeader:
    """What a token says of itself, not yet believed: who signed it and what it is.

    `message` is the token as it was taken apart, so that `verify` need not do it again.
    """

    kid: str
    typ: str
    message: jws.CompactSignature = field(repr=False, compare=False)


def sign(payload: bytes, key: Jwk | HeldPair, *, kid: str, typ: str) -> str:
    """Return a compact JWS of `payload` under `key`."""
    algorithm = key.signing_algorithm
    header = {"alg": algorithm, "kid": kid, "typ": typ}
    return jws.serialize_compact(header, payload, jose_key(key), registry=_signatures(algorithm))


def peek(token: str | bytes) -> UnverifiedHeader:
    """Read a JWS's header before its signature is checked; raises FormatError."""
    data = _bounded(token)
    try:
        message = jws.extract_compact(data, registry=_TAKEN_APART)
        header = message.headers()
    except Exception as error:
        raise FormatError("not a compact JWS") from error
    kid, typ = header.get("kid"), header.get("typ")
    if not isinstance(kid, str) or not isinstance(typ, str) or not 0 < len(kid) <= KID_CHARS_MAX:
        raise FormatError("a JWS header needs kid and typ")
    return UnverifiedHeader(kid=kid, typ=typ, message=message)


def unverified_payload(token: str | bytes) -> bytes:
    """Return the payload of a JWS that nobody vouches for yet; raises FormatError.

    For the one kind of message that brings its own key: it counts for nothing until `verify` passed.
    """
    data = _bounded(token)
    try:
        payload = jws.extract_compact(data, registry=_TAKEN_APART).payload
    except Exception as error:
        raise FormatError("not a compact JWS") from error
    if payload is None:
        raise FormatError("not a compact JWS")
    return payload


def verify(token: str | bytes | UnverifiedHeader, key: Jwk, *, typ: str) -> bytes:
    """Return the payload of a JWS, given as it is or as `peek` read it.

    Raises AuthenticationError if it is not by `key` or not a `typ`.
    """
    data = token if isinstance(token, UnverifiedHeader) else _bounded(token)
    registry = _signatures(key.signing_algorithm)
    try:
        message = (
            data.message
            if isinstance(data, UnverifiedHeader)
            else jws.extract_compact(data, registry=_TAKEN_APART)
        )
        is_theirs = jws.validate_compact(message, jose_key(key), registry=registry)
    except Exception as error:
        raise AuthenticationError("the signature does not verify") from error
    if not is_theirs:
        raise AuthenticationError("the signature does not verify")
    if message.headers().get("typ") != typ or message.payload is None:
        raise AuthenticationError(f"a signed message of another kind than {typ}")
    return message.payload


def seal(plaintext: bytes, recipient: Jwk, *, kid: str, typ: str) -> str:
    """Return a compact JWE that only the holder of `recipient` opens; raises FormatError for a bad key."""
    algorithm = recipient.sealing_algorithm
    return _encrypt(plaintext, recipient, algorithm, {"kid": kid, "typ": typ})


def unseal(token: str | bytes, key: Jwk | HeldPair, *, typ: str) -> bytes:
    """Return the plaintext of a JWE; raises AuthenticationError if it is not for `key` or not a `typ`."""
    return _decrypt(token, key, key.sealing_algorithm, typ)


def seal_direct(
    plaintext: bytes, key: Jwk, *, typ: str, derivation: dict[str, int | str] | None = None
) -> str:
    """Return a compact JWE under `key` itself (`dir`), for what stays on this machine.

    `derivation` says in the protected header, as `scrypt`, how the key follows from a passphrase.
    """
    return _encrypt(plaintext, key, "dir", {"typ": typ} | ({DERIVATION: derivation} if derivation else {}))


def unseal_direct(token: str | bytes, key: Jwk, *, typ: str) -> bytes:
    """Open what `seal_direct` made; raises AuthenticationError."""
    return _decrypt(token, key, "dir", typ)


def _encrypt(
    plaintext: bytes, key: Jwk, algorithm: str, header: Mapping[str, str | dict[str, int | str]]
) -> str:
    protected = {"alg": algorithm, "enc": CONTENT_ENCRYPTION, **header}
    recipient = jose_key(key)
    try:
        return jwe.encrypt_compact(protected, plaintext, recipient, registry=_registry(algorithm))
    except ValueError as error:
        raise FormatError(f"nothing can be sealed to this key: {key!r}") from error


def _decrypt(token: str | bytes, key: Jwk | HeldPair, algorithm: str, typ: str) -> bytes:
    data = _bounded(token)
    try:
        opened = jwe.decrypt_compact(data, jose_key(key), registry=_registry(algorithm))
    except Exception as error:
        raise AuthenticationError("a sealed message that this key does not open") from error
    if opened.headers().get("typ") != typ or opened.plaintext is None:
        raise AuthenticationError(f"a sealed message of another kind than {typ}")
    return opened.plaintext


class _Signatures(jws.JWSRegistry):
    """Bounded by us alone: what `sign` made of any message of ours verifies."""

    max_payload_length = MESSAGE_BYTES_MAX


_TAKEN_APART = _Signatures()
"""For reading a JWS before anything of it is checked: it says how long parts may be, no more."""


class _Seals(jwe.JWERegistry):
    """Bounded by us alone: what `seal` made of any message of ours opens."""

    max_ciphertext_length = MESSAGE_BYTES_MAX


@functools.cache
def _signatures(algorithm: str) -> jws.JWSRegistry:
    """Return what the library may see in a JWS: one algorithm. There are as many as kinds of keys."""
    return _Signatures(algorithms=[algorithm])


@functools.cache
def _registry(algorithm: str) -> jwe.JWERegistry:
    """Return what the library may see in a JWE: one algorithm, and for what stays here how its key came."""
    private = {DERIVATION: HeaderParameter("how the key follows from a passphrase", _any_value)}
    return _Seals(private if algorithm == "dir" else None, algorithms=[algorithm, CONTENT_ENCRYPTION])


def _any_value(_: object) -> None:
    """Take any value: who derives the key has read it before."""


def _bounded(token: str | bytes) -> bytes:
    if len(token) > MESSAGE_BYTES_MAX:
        raise FormatError(f"a token has at most {MESSAGE_BYTES_MAX} bytes, not {len(token)}")
    try:
        return token.encode("ascii") if isinstance(token, str) else bytes(token)
    except UnicodeEncodeError as error:
        raise FormatError("a token is ASCII") from error
