"""Owns keys in JSON form (RFC 7517, RFC 8037) and which algorithm each kind stands for.

| key            | signs     | seals to it       |
|----------------|-----------|-------------------|
| oct, 256 bits  | HS256     | A256KW            |
| OKP Ed25519    | Ed25519   | (nothing)         |
| OKP X25519     | (nothing) | ECDH-ES+A256KW    |
"""

from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc.jwk import Key, OctKey, OKPKey

from sealcast.core.errors import FormatError
from sealcast.core.ports import Random
from sealcast.messages.encoding import b64url_decode, b64url_encode

OCT_BYTES = 32
"""A256KW and HS256 both take 256-bit keys (RFC 7518 §3.2, §4.4)."""

SIGNING_ALGORITHMS = {("oct", None): "HS256", ("OKP", "Ed25519"): "Ed25519"}
SEALING_ALGORITHMS = {("oct", None): "A256KW", ("OKP", "X25519"): "ECDH-ES+A256KW"}


class Jwk(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key; private where `d` (OKP) or `k` (oct) is set. `repr` never shows either."""

    kty: Literal["oct", "OKP"]
    crv: Literal["Ed25519", "X25519"] | None = None
    x: str | None = None
    d: str | None = None
    k: str | None = None

    def __repr__(self) -> str:
        return f"Jwk({self.kty} {self.crv or ''} {self.x or 'secret'})"

    @property
    def signing_algorithm(self) -> str:
        """JWS `alg` of this key; raises FormatError if it cannot sign."""
        return _algorithm(self, SIGNING_ALGORITHMS, "sign")

    @property
    def sealing_algorithm(self) -> str:
        """JWE `alg` of this key; raises FormatError if nothing can be sealed to it."""
        return _algorithm(self, SEALING_ALGORITHMS, "receive sealed answers")

    @property
    def is_secret(self) -> bool:
        """Whether this is a symmetric key, or the private half of a pair."""
        return self.kty == "oct" or self.d is not None

    def public(self) -> "Jwk":
        """Return the public half; raises FormatError for a symmetric key, which has none."""
        if self.kty == "oct":
            raise FormatError("a symmetric key has no public half")
        return Jwk(kty=self.kty, crv=self.crv, x=self.x)

    def raw_public(self) -> bytes:
        """Return the 32 bytes of an OKP public key."""
        return b64url_decode(self.x or "")

    def raw_private(self) -> bytes:
        """Return the 32 bytes of an OKP private key; raises FormatError where there is none."""
        if self.d is None:
            raise FormatError("this key has no private half")
        return b64url_decode(self.d)


def new_oct_key(random: Random) -> Jwk:
    """Return a fresh 256-bit symmetric key."""
    return Jwk(kty="oct", k=b64url_encode(random.bytes(OCT_BYTES)))


def new_signing_pair(random: Random) -> Jwk:
    """Return a fresh Ed25519 pair (RFC 8032)."""
    seed = random.bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return Jwk(kty="OKP", crv="Ed25519", x=b64url_encode(public), d=b64url_encode(seed))


def new_sealing_pair(random: Random) -> Jwk:
    """Return a fresh X25519 pair (RFC 7748)."""
    seed = random.bytes(32)
    public = X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return Jwk(kty="OKP", crv="X25519", x=b64url_encode(public), d=b64url_encode(seed))


def jose_key(jwk: Jwk) -> Key:
    """Return the JOSE library's form of the key; raises FormatError for parts that do not fit."""
    parts = {name: value for name, value in msgspec.structs.asdict(jwk).items() if value is not None}
    if jwk.kty == "oct" and len(b64url_decode(jwk.k or "")) != OCT_BYTES:
        raise FormatError(f"a symmetric key has {OCT_BYTES} bytes")
    try:
        return OctKey.import_key(parts) if jwk.kty == "oct" else OKPKey.import_key(parts)
    except Exception as error:
        raise FormatError(f"not a usable key: {jwk!r}") from error


def _algorithm(jwk: Jwk, table: dict[tuple[str, str | None], str], purpose: str) -> str:
    try:
        return table[jwk.kty, jwk.crv]
    except KeyError as error:
        raise FormatError(f"a key of kind {jwk.kty} {jwk.crv or ''} cannot {purpose}") from error
