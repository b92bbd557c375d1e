"""Owns what a key does, by its kind: sign and verify (JWS), give and take a content key (JWE).

Reading and checking a key costs the most, and is done once: tools live as long as the `Jwk` they are of.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from sealcast.core.errors import FormatError
from sealcast.messages.compact import EphemeralKey, decode_part, encode_part
from sealcast.messages.curve25519 import Ed25519, agree_anew
from sealcast.messages.jwk import HeldPair, Jwk, native_key

COORDINATE_BYTES = 32
WRAP_BITS = 256
_INFO = (
    len(b"ECDH-ES+A256KW").to_bytes(4, "big") + b"ECDH-ES+A256KW" + bytes(8) + WRAP_BITS.to_bytes(4, "big")
)
"""OtherInfo of Concat KDF (RFC 7518 §4.6.2): algorithm, no party info, length; one round gives 256 bits."""

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_ECDSA = ec.ECDSA(hashes.SHA256())
KEPT_MAX = 50_000
"""Tools kept, 1 to 2 kB each: two for each party that a key server remembers."""

Key = Jwk | HeldPair
T = TypeVar("T")


class Signing(Protocol):
    """Signs and verifies under one key."""

    def sign(self, data: bytes) -> bytes:
        """Return a signature; raises FormatError without the private half."""

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature is by this key."""


class Wrapping(Protocol):
    """Gives content keys to the holder of one key, and takes them."""

    def wrap(self, content_key: bytes) -> tuple[bytes, EphemeralKey | None]:
        """Return a content key for the holder, and the ephemeral key that goes along."""

    def unwrap(self, wrapped: bytes, ephemeral: EphemeralKey | None) -> bytes:
        """Return a content key; raises ValueError and others for what is not for this key."""


def signing_tool(key: Key) -> Signing:
    """Return the tool of a key that signs; raises FormatError for parts that do not fit."""
    return _tool(key, _signing, _build_signing)


def wrapping_tool(key: Key) -> Wrapping:
    """Return the tool of a key that things are sealed to; raises FormatError for parts that do not fit."""
    return _tool(key, _wrapping, _build_wrapping)


class _Hs256:
    """HMAC with SHA-256 (RFC 7518 §3.2); the key is set up once, which takes twice as long as a request."""

    __slots__ = ("_keyed",)

    def __init__(self, secret: bytes) -> None:
        self._keyed = hmac.new(secret, digestmod="sha256")

    def sign(self, data: bytes) -> bytes:
        tag = self._keyed.copy()
        tag.update(data)
        return tag.digest()

    def verify(self, signature: bytes, data: bytes) -> bool:
        return hmac.compare_digest(signature, self.sign(data))


class _Es256:
    """ECDSA on P-256 with SHA-256: r ‖ s, 32 bytes each (RFC 7518 §3.4)."""

    __slots__ = ("_private", "_public")

    def __init__(self, key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> None:
        self._private = key if isinstance(key, ec.EllipticCurvePrivateKey) else None
        self._public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key

    def sign(self, data: bytes) -> bytes:
        r, s = utils.decode_dss_signature(_held(self._private).sign(data, _ECDSA))
        return r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")

    def verify(self, signature: bytes, data: bytes) -> bool:
        if len(signature) != 2 * COORDINATE_BYTES:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        try:
            self._public.verify(utils.encode_dss_signature(r, s), data, _ECDSA)
        except InvalidSignature:
            return False
        return True


class _A256kw:
    """AES key wrap with 256 bits (RFC 7518 §4.4)."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def wrap(self, content_key: bytes) -> tuple[bytes, EphemeralKey | None]:
        return aes_key_wrap(self._secret, content_key), None

    def unwrap(self, wrapped: bytes, ephemeral: EphemeralKey | None) -> bytes:
        _expect(ephemeral is None)
        return aes_key_unwrap(self._secret, wrapped)


class _X25519:
    """ECDH-ES+A256KW with X25519 (RFC 7518 §4.6, RFC 8037 §3.2)."""

    __slots__ = ("_private", "_public", "_raw")

    def __init__(self, key: X25519PrivateKey | X25519PublicKey) -> None:
        self._private = key if isinstance(key, X25519PrivateKey) else None
        self._public = key.public_key() if isinstance(key, X25519PrivateKey) else key
        self._raw = self._public.public_bytes_raw()

    def wrap(self, content_key: bytes) -> tuple[bytes, EphemeralKey | None]:
        public, secret = agree_anew(self._public, self._raw)
        x = encode_part(public).decode()
        return aes_key_wrap(_derived(secret), content_key), EphemeralKey(kty="OKP", crv="X25519", x=x)

    def unwrap(self, wrapped: bytes, ephemeral: EphemeralKey | None) -> bytes:
        if ephemeral is None or (ephemeral.kty, ephemeral.crv, ephemeral.y) != ("OKP", "X25519", ""):
            raise FormatError("an ephemeral X25519 key belongs to this message")
        theirs = X25519PublicKey.from_public_bytes(decode_part(ephemeral.x.encode()))
        return aes_key_unwrap(_derived(_held(self._private).exchange(theirs)), wrapped)


class _P256:
    """ECDH-ES+A256KW on P-256 (RFC 7518 §4.6)."""

    __slots__ = ("_private", "_public")

    def __init__(self, key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> None:
        self._private = key if isinstance(key, ec.EllipticCurvePrivateKey) else None
        self._public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key

    def wrap(self, content_key: bytes) -> tuple[bytes, EphemeralKey | None]:
        mine = ec.generate_private_key(ec.SECP256R1())
        agreed = _derived(mine.exchange(ec.ECDH(), self._public))
        numbers = mine.public_key().public_numbers()
        x, y = (
            encode_part(each.to_bytes(COORDINATE_BYTES, "big")).decode() for each in (numbers.x, numbers.y)
        )
        return aes_key_wrap(agreed, content_key), EphemeralKey(kty="EC", crv="P-256", x=x, y=y)

    def unwrap(self, wrapped: bytes, ephemeral: EphemeralKey | None) -> bytes:
        if ephemeral is None or (ephemeral.kty, ephemeral.crv) != ("EC", "P-256"):
            raise FormatError("an ephemeral P-256 key belongs to this message")
        x, y = (decode_part(each.encode()) for each in (ephemeral.x, ephemeral.y))
        _expect(len(x) == len(y) == COORDINATE_BYTES)
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        )
        agreed = _held(self._private).exchange(ec.ECDH(), numbers.public_key())
        return aes_key_unwrap(_derived(agreed), wrapped)


class _RsaOaep256:
    """RSAES-OAEP with SHA-256 (RFC 7518 §4.3)."""

    __slots__ = ("_private", "_public")

    def __init__(self, key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> None:
        self._private = key if isinstance(key, rsa.RSAPrivateKey) else None
        self._public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key

    def wrap(self, content_key: bytes) -> tuple[bytes, EphemeralKey | None]:
        return self._public.encrypt(content_key, _OAEP), None

    def unwrap(self, wrapped: bytes, ephemeral: EphemeralKey | None) -> bytes:
        _expect(ephemeral is None)
        return _held(self._private).decrypt(wrapped, _OAEP)


_signing: WeakKeyDictionary[Jwk, Signing] = WeakKeyDictionary()
_wrapping: WeakKeyDictionary[Jwk, Wrapping] = WeakKeyDictionary()
"""By value, each for as long as the `Jwk` lives that it was made for: it goes with its owner, nobody has to
say so. With `KEPT_MAX` alive, others are made each time."""


def _tool(key: Key, kept: WeakKeyDictionary[Jwk, T], build: Callable[[Key], T]) -> T:
    if isinstance(key, HeldPair):
        return build(key)
    tool = kept.get(key)
    if tool is None:
        tool = build(key)
        if len(kept) < KEPT_MAX:
            kept[key] = tool
    return tool


def _build_signing(key: Key) -> Signing:
    key.signing_algorithm  # noqa: B018 - raises for a key that does not sign
    native = native_key(key)
    match native:
        case bytes():
            return _Hs256(native)
        case Ed25519PrivateKey() | Ed25519PublicKey():
            return Ed25519(native, is_held=isinstance(key, HeldPair))
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return _Es256(native)
    raise FormatError(f"not a usable key: {key!r}")


def _build_wrapping(key: Key) -> Wrapping:
    key.sealing_algorithm  # noqa: B018 - raises for a key that nothing is sealed to
    native = native_key(key)
    match native:
        case bytes():
            return _A256kw(native)
        case X25519PrivateKey() | X25519PublicKey():
            return _X25519(native)
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return _P256(native)
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return _RsaOaep256(native)
    raise FormatError(f"not a usable key: {key!r}")


def _derived(agreed: bytes) -> bytes:
    """Return the key that wraps, by Concat KDF (NIST SP 800-56A §5.8.1) in one round."""
    return hashlib.sha256(b"\x00\x00\x00\x01" + agreed + _INFO).digest()


def _held(private: T | None) -> T:
    if private is None:
        raise FormatError("this key has no private half")
    return private


def _expect(is_so: bool) -> None:  # noqa: FBT001 - a condition
    if not is_so:
        raise FormatError("a sealed message of another form")
