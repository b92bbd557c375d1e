"""Simulated chance."""

from sealcast.core.ports import Random
from sealcast.testing import SimRandom


def test_same_seed_same_values() -> None:
    """A seed stands for one sequence, and another seed for another."""
    one: Random = SimRandom(1)
    other = SimRandom(1)
    assert [one.bytes(9), one.below(100)] == [other.bytes(9), other.below(100)]
    assert SimRandom(2).bytes(9) != SimRandom(1).bytes(9)


def test_the_sequence_is_the_same_everywhere() -> None:
    """The values are fixed, so a failing seed can be handed to somebody else."""
    assert SimRandom(1).bytes(8).hex() == "f5756e7a40f0657a"


def test_below_stays_below() -> None:
    """All values under the limit occur and none other."""
    random = SimRandom(1)
    assert {random.below(6) for _ in range(500)} == set(range(6))


def test_forks_are_independent() -> None:
    """A fork depends on seed and name alone, whatever was drawn before."""
    root = SimRandom(1)
    before = root.fork("a").bytes(8)
    root.bytes(100)
    root.fork("b").bytes(100)
    assert root.fork("a").bytes(8) == before != root.fork("b").bytes(8)
