"""Owns sharing a secret so that any `threshold` of its shares give it and fewer say nothing (Shamir 1979).

```
secret of up to 64 bytes ──► f(0), f of degree threshold - 1 over the prime 2^521 - 1, else uniform
share of number x, 1 to 255: f(x), 66 bytes, big-endian
any threshold shares ──► f(0) = sum of f(x_i) · product of x_j / (x_j - x_i) over the others
```
With a threshold of 1 each share is the secret itself.
"""

from collections.abc import Iterable, Mapping

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret

PRIME = 2**521 - 1
"""A Mersenne prime (Robinson 1952) above every secret that is shared here."""

SHARE_BYTES = 66
NUMBER_MAX = 255
SECRET_BYTES_MAX = 64


def split(secret: Secret, threshold: int, numbers: Iterable[int], random: Random) -> dict[int, Secret]:
    """Return a share of 66 bytes for each number; any `threshold` of them give the secret again.

    Raises FormatError for a number that is not 1 to 255 or stands there twice, or for fewer numbers than
    `threshold`. About 2 µs for each share and degree.
    """
    listed = list(numbers)
    _check_numbers(listed)
    if not 1 <= threshold <= len(listed):
        raise FormatError(f"{len(listed)} shares cannot have a threshold of {threshold}")
    if not 0 < len(secret) <= SECRET_BYTES_MAX:
        raise FormatError(f"a secret that is shared has 1 to {SECRET_BYTES_MAX} bytes")
    factors = [int.from_bytes(secret.reveal(), "big")]
    factors += [random.below(PRIME) for _ in range(threshold - 1)]
    return {number: Secret(_value_at(factors, number).to_bytes(SHARE_BYTES, "big")) for number in listed}


def combine(shares: Mapping[int, Secret], size: int) -> Secret:
    """Return the secret of `size` bytes that as many shares as the threshold say; costs 0.1 ms for ten.

    Shares that do not belong together give another value: what they must be is checked before, by their
    commitments. Raises FormatError for what is no share, AuthenticationError for a value that is too large.
    """
    _check_numbers(list(shares))
    values = {number: _read(share) for number, share in shares.items()}
    total = 0
    for number, value in values.items():
        above, below = 1, 1
        for other in values:
            if other != number:
                above = above * other % PRIME
                below = below * (other - number) % PRIME
        total = (total + value * above * pow(below, -1, PRIME)) % PRIME
    if total.bit_length() > 8 * size:
        raise AuthenticationError(f"these shares do not combine to a secret of {size} bytes")
    return Secret(total.to_bytes(size, "big"))


def _check_numbers(numbers: list[int]) -> None:
    if not numbers:
        raise FormatError("no shares")
    if len(set(numbers)) != len(numbers):
        raise FormatError("two shares of the same number")
    if not all(1 <= number <= NUMBER_MAX for number in numbers):
        raise FormatError(f"the number of a share is 1 to {NUMBER_MAX}")


def _read(share: Secret) -> int:
    if len(share) != SHARE_BYTES:
        raise FormatError(f"a share has {SHARE_BYTES} bytes, not {len(share)}")
    value = int.from_bytes(share.reveal(), "big")
    if value >= PRIME:
        raise FormatError("a share that is no element of the field")
    return value


def _value_at(factors: list[int], number: int) -> int:
    """Return f(number) by Horner's rule."""
    value = 0
    for factor in reversed(factors):
        value = (value * number + factor) % PRIME
    return value
