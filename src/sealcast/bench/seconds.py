"""Owns how many requests each millisecond brought, and from that the busiest second."""

from array import array
from collections.abc import Iterable
from itertools import accumulate
from operator import add, sub

SECOND_MS = 1_000
COUNTER = "I"
"""Four bytes for each millisecond of an epoch."""


class Busiest:
    """Finds the busiest second, wherever it begins; `per_s` counts requests in the seconds of a clock.

    It takes one epoch after the other, each a counter of whole seconds. About 70 ms for ten minutes.
    """

    __slots__ = ("_before", "peak_per_s", "per_s")

    def __init__(self) -> None:
        self.per_s = array(COUNTER)
        self.peak_per_s = 0
        self._before = zeros(SECOND_MS)

    def take(self, counts: "array[int]") -> None:
        """Take the next epoch."""
        sums = array("Q", accumulate(self._before + counts, initial=0))
        busiest = max(map(sub, sums[SECOND_MS:], sums))
        self.peak_per_s = max(self.peak_per_s, busiest)
        self.per_s.extend(per_second(counts))
        self._before = counts[-SECOND_MS:]


def per_second(counts: "array[int]") -> list[int]:
    """Return how many requests each second of a counter has."""
    return [sum(counts[begin : begin + SECOND_MS]) for begin in range(0, len(counts), SECOND_MS)]


def zeros(length: int) -> "array[int]":
    """Return a counter for so many milliseconds."""
    return array(COUNTER, bytes(array(COUNTER).itemsize * length))


def merge(counters: Iterable["array[int]"]) -> "array[int]":
    """Return the sum of counters of one length."""
    first, *others = counters
    for other in others:
        first = array(COUNTER, map(add, first, other))
    return first
