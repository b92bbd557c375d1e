"""Owns the experiment on an escrow's time: whether it tells a number below a prime of the key from one above.

```
c' next to q      q - 5: all of q to work with, q + 5: five modulo q     (Brumley and Boneh 2003)
m next to q       c' = (q - 5)^e, c' = (q + 5)^e: what comes out is short modulo q
```
Each pair is asked in random order, several times; the least of each counts, and of these the faster half, as
the rest tells of the machine. Welch's t beyond 4.5 is a leak (Reparaz, Balasch and Verbauwhede 2017). The
control opens without blinding, by Python's own power: there the experiment has to find one, else it could
find none at all. Its key is short: that power takes 20 ms at 3,072 bits, and what it tells is as plain.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.server.escrow.blinding import open_blinded
from sealcast.server.escrow.private import NUMBERS, Made, SoftKey, make_key

LEAK_T = 4.5
BITS, CONTROL_BITS = 3_072, 1_024
REPEATS, KEPT = 5, 0.5
"""The least of so many, and of these this part: what other programs take is of neither number."""

DISTANCE = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Welch's t of two classes of numbers, below and above the prime; the mean times of both, in µs.

    A difference of `resolution_us` would have been found.
    """

    t: float
    below_us: float
    above_us: float
    resolution_us: float

    @property
    def is_leak(self) -> bool:
        """Whether somebody who measures could tell the classes apart."""
        return abs(self.t) > LEAK_T


@dataclass(frozen=True, slots=True)
class TimingReport:
    """Ours with c' next to the prime, and with m next to it; and the control, which has no blinding."""

    blinded_input: Timing
    blinded_output: Timing
    control: Timing


def measure_timing(pairs: int, random: Random) -> TimingReport:
    """Measure so many pairs of each kind over fresh keys; 80 ms a pair, for all three kinds together."""
    made = make_key(BITS)
    modulus, key = made.modulus, SoftKey(Secret(made.secret))
    near = _near(made)
    powers = tuple(pow(number, PUBLIC_EXPONENT, modulus) for number in near)

    def ours(number: int) -> None:
        open_blinded(key, modulus, number, random)

    short = make_key(CONTROL_BITS)
    unblinded = SoftKey(Secret(short.secret), pow)

    def control(number: int) -> None:
        unblinded.power(number)

    return TimingReport(
        blinded_input=compare(ours, near, pairs, random),
        blinded_output=compare(ours, (powers[0], powers[1]), pairs, random),
        control=compare(control, _near(short), pairs, random),
    )


def compare(work: Callable[[int], None], numbers: tuple[int, int], pairs: int, random: Random) -> Timing:
    """Time `work` on two numbers, in pairs of random order, and return how far apart their times are."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(pairs):
        best = [0, 0]
        for _ in range(REPEATS):
            first = random.below(2)
            for which in (first, 1 - first):
                began_ns = time.thread_time_ns()
                work(numbers[which])
                took_ns = time.thread_time_ns() - began_ns
                best[which] = min(best[which] or took_ns, took_ns)
        for which in (0, 1):
            times[which].append(best[which])
    limit = sorted(times[0] + times[1])[int(2 * pairs * KEPT) - 1]
    below, above = ([each for each in one if each <= limit] for one in times)
    resolution_us = LEAK_T * _spread(below, above) / 1e3
    return Timing(welch_t(below, above), _mean(below) / 1e3, _mean(above) / 1e3, resolution_us)


def welch_t(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t of two samples: the difference of their means in units of its own spread."""
    spread = _spread(one, other)
    return (_mean(one) - _mean(other)) / spread if spread else 0.0


def _spread(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the standard error of the difference of two means; 0 for samples that have none."""
    if min(len(one), len(other)) < 2:
        return 0.0
    return sqrt(_variance(one) / len(one) + _variance(other) / len(other))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _near(made: Made) -> tuple[int, int]:
    """Return the numbers below and above q of a key as `private.make_key` keeps it."""
    half = len(made.secret) // NUMBERS
    prime = int.from_bytes(made.secret[half : 2 * half], "big")
    return prime - DISTANCE, prime + DISTANCE
