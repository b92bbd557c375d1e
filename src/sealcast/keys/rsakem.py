"""Owns what an escrow's public key is used for: encapsulate a share, blind a question, unblind the answer.

```
z uniform below n ─┬─ c = z^e mod n ──► into the package (RSA-KEM, RFC 9690)
                   └─ HKDF-SHA256(z, info "sealcast share 1" ‖ package id ‖ number u8) ──► KEK
KEK ─ AES-KWP (RFC 5649) ─► the share, wrapped
device: c' = c·r^e mod n ──► escrow: m = c'^d ──► device: z = m/r mod n, believed only if z^e = c
```
The escrow sees c', which is uniform whatever c is (Chaum 1983; RFC 9474 for what blinding must check). The
private half is not here: an escrow's `escrow` package has it. Numbers are Python's, of variable time: r and z
are used once, by whoever drew them, and no other party times that.
"""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from math import gcd

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret

KEK_BYTES = 32
PUBLIC_EXPONENT = 65_537
BITS_MIN, BITS_MAX = 3_072, 8_192
_LABEL = b"sealcast share 1"


@dataclass(frozen=True, slots=True)
class RsaPublic:
    """The public half of an escrow's key: n and e."""

    modulus: int
    exponent: int = PUBLIC_EXPONENT

    @property
    def bits(self) -> int:
        """How long n is."""
        return self.modulus.bit_length()

    @property
    def size(self) -> int:
        """In how many bytes numbers below n travel."""
        return (self.bits + 7) // 8

    @property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint (SHA-256, base64url) that names the key at all escrows."""
        e, n = (_b64url(_minimal(number)) for number in (self.exponent, self.modulus))
        return _b64url(hashlib.sha256(f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'.encode()).digest())

    def pack(self, number: int) -> bytes:
        """Return a number below n in bytes as long as n."""
        return number.to_bytes(self.size, "big")

    def read(self, packed: bytes, what: str) -> int:
        """Return the number in bytes as long as n that is none of 0, 1, n - 1 and has an inverse.

        Raises FormatError naming `what`. Those three are their own powers: they would hide nothing.
        """
        if len(packed) != self.size:
            raise FormatError(f"{what} has {self.size} bytes, not {len(packed)}")
        number = int.from_bytes(packed, "big")
        if not 1 < number < self.modulus - 1 or gcd(number, self.modulus) != 1:
            raise FormatError(f"{what} is no number that the key takes")
        return number


@dataclass(frozen=True, slots=True)
class Blinded:
    """c', as long as n, which may leave, and r, as long as n, which stays: it opens the answer."""

    blinded: bytes
    r: Secret


def read_public(modulus: bytes, exponent: int) -> RsaPublic:
    """Return the public half as a key document has it; raises FormatError for a key that is none here."""
    public = RsaPublic(int.from_bytes(modulus, "big"), exponent)
    if not BITS_MIN <= public.bits <= BITS_MAX or len(modulus) != public.size:
        raise FormatError(f"an escrow's key has {BITS_MIN} to {BITS_MAX} bits, not {public.bits}")
    if exponent != PUBLIC_EXPONENT or public.modulus % 2 == 0:
        raise FormatError(f"an escrow's key is odd, with the exponent {PUBLIC_EXPONENT}")
    return public


def encapsulate(public: RsaPublic, random: Random) -> tuple[Secret, bytes]:
    """Return z and c = z^e mod n, both as long as n (RFC 9690 §2.2); 0.1 ms at 3,072 bits."""
    while True:
        z = random.below(public.modulus)
        if 1 < z < public.modulus - 1:
            return Secret(public.pack(z)), public.pack(pow(z, public.exponent, public.modulus))


def wrap_share(z: Secret, package_id: bytes, number: int, share: Secret) -> bytes:
    """Return a share under the key that follows from z, for this package and number alone (RFC 5649)."""
    return aes_key_wrap_with_padding(_kek(z, package_id, number), share.reveal())


def unwrap_share(z: Secret, package_id: bytes, number: int, wrapped: bytes) -> Secret:
    """Return the share that `wrap_share` wrapped; raises AuthenticationError for anything else."""
    try:
        return Secret(aes_key_unwrap_with_padding(_kek(z, package_id, number), wrapped))
    except (InvalidUnwrap, ValueError) as error:
        raise AuthenticationError(f"share {number} does not open with what is encapsulated") from error


def blind(public: RsaPublic, encapsulation: bytes, random: Random) -> Blinded:
    """Return c' = c·r^e mod n for a fresh r; raises FormatError for a c that is none. 0.5 ms, 3,072 bits."""
    c = public.read(encapsulation, "an encapsulation")
    while True:
        r = 2 + random.below(public.modulus - 3)
        if gcd(r, public.modulus) == 1:
            break
    blinded = c * pow(r, public.exponent, public.modulus) % public.modulus
    return Blinded(public.pack(blinded), Secret(public.pack(r)))


def unblind(public: RsaPublic, encapsulation: bytes, r: Secret, opened: bytes) -> Secret:
    """Return z of `encapsulation` from what the escrow answered; 0.5 ms at 3,072 bits.

    Raises AuthenticationError unless z^e = c: an escrow that answers anything else is found out here.
    """
    try:
        m = public.read(opened, "an escrow's answer")
    except FormatError as error:
        raise AuthenticationError(str(error)) from error
    z = m * pow(int.from_bytes(r.reveal(), "big"), -1, public.modulus) % public.modulus
    if public.pack(pow(z, public.exponent, public.modulus)) != encapsulation:
        raise AuthenticationError("the escrow's answer does not open what was asked")
    return Secret(public.pack(z))


def _kek(z: Secret, package_id: bytes, number: int) -> bytes:
    derive = HKDF(SHA256(), KEK_BYTES, salt=b"", info=_LABEL + package_id + bytes((number,)))
    return derive.derive(z.reveal())


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
