"""Owns opening blindly: what may be opened, a fresh blinding of our own around the private key, the check.

```
c' ─► in range, prime to n ─► c'' = c'·s^e ─► m'' = c''^d ─► m = m''/s ─► m^e = c'? ─► m
```
s is fresh each time, so that the private key never works on a number of somebody's choosing: else the time
that it takes near a prime would tell the prime (Brumley and Boneh 2003; RFC 9474 §7.2 for blind signatures).
The check keeps a fault of the machine from leaving, which would tell a prime at once (Boneh, DeMillo and
Lipton 1997).
"""

import gmpy2

from sealcast.core.errors import LocalError
from sealcast.core.ports import Random
from sealcast.keys.rsakem import PUBLIC_EXPONENT, RsaPublic
from sealcast.keyserver.values import refusal
from sealcast.server.escrow.private import PrivateKey


def read_blinded(blinded: bytes, modulus: int) -> int:
    """Return c' as a number; raises the refusals `bad-request` and `opening-refused`, saying what is wrong.

    A number below 2 or n - 1 is its own power or nothing's, one that shares a factor with n would tell it.
    """
    size = RsaPublic(modulus).size
    if len(blinded) != size:
        raise refusal("bad-request", f"c' is as long as the key, {size} bytes, not {len(blinded)}")
    number = int.from_bytes(blinded, "big")
    if number >= modulus:
        raise refusal("opening-refused", "c' is not below the key's modulus")
    if number in {0, 1, modulus - 1}:
        raise refusal("opening-refused", "c' is 0, 1 or n - 1, which hides nothing")
    if gmpy2.gcd(number, modulus) != 1:
        raise refusal("opening-refused", "c' has a factor in common with the key's modulus")
    return number


def open_blinded(key: PrivateKey, modulus: int, number: int, random: Random) -> bytes:
    """Return m = c'^d mod n, as long as n, for a number that `read_blinded` gave.

    Raises LocalError if what the key gives is not the power that was asked for.
    """
    size = RsaPublic(modulus).size
    n, factor = gmpy2.mpz(modulus), _unit(modulus, random)
    hidden = number * gmpy2.powmod(factor, PUBLIC_EXPONENT, n) % n
    opened = key.power(int(hidden)) * gmpy2.invert(factor, n) % n
    if gmpy2.powmod(opened, PUBLIC_EXPONENT, n) != number:
        raise LocalError("an opening came out wrong and was not given out: is this machine's memory sound?")
    return int(opened).to_bytes(size, "big")


def _unit(modulus: int, random: Random) -> int:
    """Return a random number with an inverse; the loop ends with the first, but for 2^-1500."""
    while True:
        number = random.below(modulus)
        if gmpy2.gcd(number, modulus) == 1:
            return number
