"""Owns keys in JSON form (RFC 7517, RFC 7518 §6, RFC 8037) and which algorithm each kind stands for.

| key                  | signs     | seals to it       |
|----------------------|-----------|-------------------|
| oct, 256 bits        | HS256     | A256KW            |
| OKP Ed25519          | Ed25519   | (nothing)         |
| OKP X25519           | (nothing) | ECDH-ES+A256KW    |
| EC P-256             | ES256     | ECDH-ES+A256KW    |
| RSA, 3072 to 4096    | (nothing) | RSA-OAEP-256      |
"""

from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from sealcast.core.errors import FormatError
from sealcast.core.ports import Random
from sealcast.messages.encoding import b64url_decode, b64url_encode

OCT_BYTES = 32
"""A256KW and HS256 both take 256-bit keys (RFC 7518 §3.2, §4.4)."""

RSA_BITS_MIN, RSA_BITS_MAX = 3_072, 4_096
"""128 bits of strength at least (NIST SP 800-57); a longer key would only cost the server time."""

RSA_EXPONENT = 65_537
EC_COORDINATE_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group of P-256 (NIST SP 800-186 §3.2.1.3)."""

SIGNING_ALGORITHMS = {("oct", None): "HS256", ("OKP", "Ed25519"): "Ed25519", ("EC", "P-256"): "ES256"}
SEALING_ALGORITHMS = {
    ("oct", None): "A256KW",
    ("OKP", "X25519"): "ECDH-ES+A256KW",
    ("EC", "P-256"): "ECDH-ES+A256KW",
    ("RSA", None): "RSA-OAEP-256",
}

PublicKey = Ed25519PublicKey | X25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = Ed25519PrivateKey | X25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_NATIVE_KINDS: tuple[tuple[type, type[OKPKey | ECKey | RSAKey], bool], ...] = (
    (Ed25519PrivateKey, OKPKey, True),
    (Ed25519PublicKey, OKPKey, False),
    (X25519PrivateKey, OKPKey, True),
    (X25519PublicKey, OKPKey, False),
    (ec.EllipticCurvePrivateKey, ECKey, True),
    (ec.EllipticCurvePublicKey, ECKey, False),
    (rsa.RSAPrivateKey, RSAKey, True),
    (rsa.RSAPublicKey, RSAKey, False),
)
_LIBRARY_KINDS: dict[str, type[OctKey | OKPKey | ECKey | RSAKey]] = {
    "oct": OctKey,
    "OKP": OKPKey,
    "EC": ECKey,
    "RSA": RSAKey,
}
_PRIVATE_PARTS = ("d", "p", "q", "dp", "dq", "qi", "k")

BUILT_MAX = 50_000
"""Keys kept in the library's form, about 2 kB each: two for each party that a key server remembers."""


class Jwk(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, weakref=True):
    """One key; private where `d` (pairs) or `k` (oct) is set. `repr` never shows either."""

    kty: Literal["oct", "OKP", "EC", "RSA"]
    crv: Literal["Ed25519", "X25519", "P-256"] | None = None
    x: str | None = None
    y: str | None = None
    n: str | None = None
    e: str | None = None
    d: str | None = None
    p: str | None = None
    q: str | None = None
    dp: str | None = None
    dq: str | None = None
    qi: str | None = None
    k: str | None = None

    def __repr__(self) -> str:
        return f"Jwk({self.kty} {self.crv or ''} {self.x or self.n or 'secret'})"

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
        """Whether this is a symmetric key, or holds any private part of a pair."""
        return self.kty == "oct" or any(getattr(self, part) is not None for part in _PRIVATE_PARTS)

    def public(self) -> "Jwk":
        """Return the public half; raises FormatError for a symmetric key, which has none."""
        if self.kty == "oct":
            raise FormatError("a symmetric key has no public half")
        return Jwk(kty=self.kty, crv=self.crv, x=self.x, y=self.y, n=self.n, e=self.e)

    def raw_public(self) -> bytes:
        """Return the 32 bytes of an OKP public key; raises FormatError for another kind."""
        self._expect_okp()
        return b64url_decode(self.x or "")

    def raw_private(self) -> bytes:
        """Return the 32 bytes of an OKP private key; raises FormatError where there is none."""
        self._expect_okp()
        if self.d is None:
            raise FormatError("this key has no private half")
        return b64url_decode(self.d)

    def _expect_okp(self) -> None:
        if self.kty != "OKP":
            raise FormatError(f"an Ed25519 or X25519 key is needed, not one of kind {self.kty}")


@dataclass(frozen=True, slots=True, repr=False)
class HeldPair:
    """A pair whose private half stays where it is, in a token or a device agent: `held` signs and agrees.

    On P-256, or Ed25519 for one that signs only. It signs and unseals as a `Jwk` does, and cannot be written
    anywhere.
    """

    jwk: Jwk
    held: ec.EllipticCurvePrivateKey | Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"HeldPair({self.jwk!r})"

    @property
    def signing_algorithm(self) -> str:
        """JWS `alg` of this key."""
        return self.jwk.signing_algorithm

    @property
    def sealing_algorithm(self) -> str:
        """JWE `alg` of this key."""
        return self.jwk.sealing_algorithm

    def public(self) -> Jwk:
        """Return the public half."""
        return self.jwk.public()


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


def new_p256_pair(random: Random) -> Jwk:
    """Return a fresh P-256 pair, for signing or for sealing; one pair is never used for both.

    The scalar is uniform but for a bias of 2^-64 (FIPS 186-5 §A.2.1).
    """
    scalar = 1 + int.from_bytes(random.bytes(EC_COORDINATE_BYTES + 8), "big") % (P256_ORDER - 1)
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    x, y, d = (
        b64url_encode(value.to_bytes(EC_COORDINATE_BYTES, "big")) for value in (numbers.x, numbers.y, scalar)
    )
    return Jwk(kty="EC", crv="P-256", x=x, y=y, d=d)


def new_rsa_pair() -> Jwk:
    """Return a fresh RSA pair of 3,072 bits, for sealing; the library draws it from the system (0.1-1 s)."""
    return jwk_of(rsa.generate_private_key(RSA_EXPONENT, RSA_BITS_MIN))


_built: WeakKeyDictionary[Jwk, Key] = WeakKeyDictionary()
"""Keys in the library's form, by value, each for as long as the `Jwk` lives that it was built from: it goes
with its owner, nobody has to say so. With `BUILT_MAX` alive, others are built each time."""


def jose_key(jwk: Jwk | HeldPair) -> Key:
    """Return the JOSE library's form of the key; raises FormatError for parts that do not fit.

    Building one takes 20 to 120 µs, the same again under 1 µs. Nobody changes what is returned.
    """
    if isinstance(jwk, HeldPair):
        # Given the public parts, the library never asks the private half for its value.
        parts = jose_key(jwk.public()).as_dict(private=False)
        return OKPKey(jwk.held, parts) if isinstance(jwk.held, Ed25519PrivateKey) else ECKey(jwk.held, parts)
    built = _built.get(jwk)
    if built is None:
        built = _build(jwk)
        if len(_built) < BUILT_MAX:
            _built[jwk] = built
    return built


def _build(jwk: Jwk) -> Key:
    """Return the library's form of a key, made anew."""
    parts = {name: value for name, value in msgspec.structs.asdict(jwk).items() if value is not None}
    if jwk.kty == "oct" and len(b64url_decode(jwk.k or "")) != OCT_BYTES:
        raise FormatError(f"a symmetric key has {OCT_BYTES} bytes")
    if jwk.kty == "RSA" and not RSA_BITS_MIN <= 8 * len(b64url_decode(jwk.n or "")) <= RSA_BITS_MAX:
        raise FormatError(f"an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")
    try:
        return _LIBRARY_KINDS[jwk.kty].import_key(parts)
    except Exception as error:
        raise FormatError(f"not a usable key: {jwk!r}") from error


def thumbprint(jwk: Jwk) -> bytes:
    """Return the 32 bytes that name a key (RFC 7638, SHA-256); of a secret they say nothing else."""
    return b64url_decode(jose_key(jwk).thumbprint())


def kek_reference(kek: Jwk) -> str:
    """Return how a list names a device's KEK: the thumbprint of a public one, or `symmetric` (S0-2)."""
    return "symmetric" if kek.kty == "oct" else b64url_encode(thumbprint(kek))


def jwk_of(key: Any) -> Jwk:  # noqa: ANN401 - a certificate holds a key of any kind
    """Return a key of the `cryptography` library as a Jwk; raises FormatError for a kind not used here."""
    rows = (row for row in _NATIVE_KINDS if isinstance(key, row[0]))
    _, library, is_private = next(rows, (None, None, False))
    parts = library(key, key).as_dict(private=is_private) if library is not None else {}
    try:
        return msgspec.convert({name: parts[name] for name in parts if name != "kid"}, Jwk)
    except msgspec.ValidationError as error:
        raise FormatError("not a key of a kind that is used here: Ed25519, X25519, P-256 or RSA") from error


def native_public_key(jwk: Jwk) -> PublicKey:
    """Return the public half as the `cryptography` library has it, for certificates; raises FormatError."""
    if jwk.kty == "oct":
        raise FormatError("a symmetric key has no public half")
    key = jose_key(jwk.public()).raw_value
    if not isinstance(key, PublicKey):
        raise FormatError(f"not a usable key: {jwk!r}")
    return key


def native_key(jwk: Jwk | HeldPair) -> bytes | PublicKey | PrivateKey:
    """Return a key as the `cryptography` library has it, with its private half if it is there.

    Raises FormatError. A symmetric key is its bytes. Nothing is remembered: 20 to 120 µs each time.
    """
    if isinstance(jwk, HeldPair):
        return jwk.held
    if jwk.kty == "oct":
        _build(jwk)
        return b64url_decode(jwk.k or "")
    key = _build(jwk).raw_value
    if not isinstance(key, PublicKey | PrivateKey):
        raise FormatError(f"not a usable key: {jwk!r}")
    return key


def native_private_key(jwk: Jwk | HeldPair) -> PrivateKey:
    """Return a pair as the `cryptography` library has it; raises FormatError without a private half."""
    if isinstance(jwk, HeldPair):
        return jwk.held
    if jwk.kty == "oct" or not jwk.is_secret:
        raise FormatError("this key has no private half")
    key = jose_key(jwk).raw_value
    if not isinstance(key, PrivateKey):
        raise FormatError(f"not a usable key: {jwk!r}")
    return key


def _algorithm(jwk: Jwk, table: dict[tuple[str, str | None], str], purpose: str) -> str:
    try:
        return table[jwk.kty, jwk.crv]
    except KeyError as error:
        raise FormatError(f"a key of kind {jwk.kty} {jwk.crv or ''} cannot {purpose}") from error
