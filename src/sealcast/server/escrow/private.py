"""Owns an escrow's RSA private keys at work: made, kept as five numbers, and c^d by the two primes.

```
kept     p ‖ q ‖ d mod p-1 ‖ d mod q-1 ‖ q^-1 mod p, each half as long as n (RFC 8017 §3.2), wrapped
c^d      by p and by q in constant time (`power`), put together by q^-1 (RFC 8017 §5.1.2)
```
Nothing here blinds: `blinding` gives no input of anybody else's choosing to `SoftKey.power`.
"""

from typing import Protocol

import msgspec

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.server.escrow.power import Power, secret_power

NUMBERS = 5


class PrivateKey(Protocol):
    """A private key, wherever it is: `power` takes what was blinded, never a caller's own number."""

    def power(self, base: int) -> int:
        """Return base^d mod n."""
        ...


class Made(msgspec.Struct, frozen=True):
    """A fresh key: modulus, and what is kept of the private half; `repr` shows no secret."""

    modulus: int
    secret: bytes

    def __repr__(self) -> str:
        return f"Made({self.modulus.bit_length()} bits)"


class SoftKey:
    """A private key in this process's memory; `power` costs 2 ms at 3,072 bits."""

    def __init__(self, kept: Secret, power: Power | None = None) -> None:
        """Read what `make_key` gave; raises LocalError for what is no key."""
        data = kept.reveal()
        size, rest = divmod(len(data), NUMBERS)
        if rest or not size:
            raise LocalError("a private key in the database is not one of this version")
        self._p, self._q, self._dp, self._dq, self._qi = (
            int.from_bytes(data[place : place + size], "big") for place in range(0, len(data), size)
        )
        self._power = power or secret_power()

    def __repr__(self) -> str:
        return "SoftKey()"

    def power(self, base: int) -> int:
        """Return base^d mod n, for a base below n."""
        by_p = self._power(base % self._p, self._dp, self._p)
        by_q = self._power(base % self._q, self._dq, self._q)
        return by_q + self._q * ((by_p - by_q) * self._qi % self._p)


def make_key(bits: int) -> Made:
    """Return a fresh key of exactly so many bits; 0.1 to 1 s at 3,072 bits, half a minute at 8,192.

    The `cryptography` library draws the primes from the system (FIPS 186-5 §A.1.3), without the interpreter's
    lock.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - for this function alone

    numbers = rsa.generate_private_key(PUBLIC_EXPONENT, bits).private_numbers()
    parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    kept = b"".join(part.to_bytes(bits // 16, "big") for part in parts)
    return Made(numbers.public_numbers.n, kept)
