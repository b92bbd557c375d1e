"""Owns simulated chance: a `core.ports.Random` that gives the same values for the same seed."""

import random


class SimRandom:
    """Repeatable values for simulations. Never for keys that protect anything.

    `fork` gives independent generators by name, so that one more receiver in a simulation does not change
    what the others draw.

    >>> SimRandom(7).bytes(4) == SimRandom(7).bytes(4)
    True
    >>> SimRandom(7).fork("a").below(1_000_000) == SimRandom(7).fork("b").below(1_000_000)
    False
    """

    __slots__ = ("_generator", "_seed", "chance")

    def __init__(self, seed: int | str) -> None:
        self._seed = str(seed)
        self._generator = random.Random(self._seed)  # noqa: S311 repeatable is what a simulation needs
        self.chance = self._generator.random
        """Returns a uniform float in [0, 1)."""

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes."""
        return self._generator.randbytes(count)

    def below(self, limit: int) -> int:
        """Return a uniform integer in [0, limit)."""
        return self._generator.randrange(limit)

    def fork(self, name: str) -> "SimRandom":
        """Return the generator of that name under this seed; drawing from it changes no other."""
        return SimRandom(f"{self._seed}/{name}")
