"""Owns crowds in the simulated world: many receivers, when they ask, and what each must have."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keys.policy import fetch_window, guard_ms, spread_ms
from sealcast.receiver import control
from simulation.harness import Scene, assert_perfect
from simulation.viewer import Viewer

HERD = 1.5
"""No second may bring more than this many times the requests that an even spread over the window brings."""

EXPECTED_PER_S_MIN = 300
"""With fewer requests expected in a second, chance alone could bring half as many again."""

REMEMBERED_MAX = 64


MakeViewer = Callable[[Scene, int], Viewer]


@dataclass(frozen=True, slots=True)
class Rush:
    """Requests of a crowd between two instants, beside what an even spread over `window_ms` would be."""

    what: str
    requests: int
    peak_per_s: int
    expected_per_s: float

    @property
    def ratio(self) -> float:
        """The busiest second by the expected one."""
        return self.peak_per_s / self.expected_per_s

    def assert_no_herd(self) -> None:
        """Check that the busiest second is near the expected one, and that there were enough to tell."""
        print(
            f"{self.what}: {self.requests} requests, at most {self.peak_per_s}/s = {self.ratio:.2f} of even"
        )
        assert self.expected_per_s >= EXPECTED_PER_S_MIN
        assert self.ratio < HERD, self


class Crowd:
    """Many receivers of one scene."""

    def __init__(self, folder: Path, spec: ChannelSpec, size: int, seed: int = 1, **studio: object) -> None:
        self.spec = spec
        self.size = size
        self.scene = Scene(folder, spec, seed, **studio)
        self.scene.keyserver.audience = size

    def arrive(self, from_ns: int, until_ns: int, make: MakeViewer) -> None:
        """Let all of them come between two instants, one after the other; `make` gets each one's number."""
        for i in range(self.size):
            at_ns = from_ns + (until_ns - from_ns) * i // self.size
            self.scene.world.at(at_ns, lambda _, i=i: make(self.scene, i))

    def restart_sender(self, pause_ns: int = NS_PER_S) -> None:
        """Kill the sender, wait, and start it again."""
        self.scene.studio.crash()
        self.scene.world.run_for(pause_ns)
        self.scene.new_studio().start()

    def rush(self, what: str, from_ns: int, until_ns: int, window_ms: int) -> Rush:
        """Return the requests that were made between two instants."""
        asked = sorted(
            at for each in self.scene.viewers for at in each.fetched_ns if from_ns <= at < until_ns
        )
        return Rush(what, len(asked), peak_per_s(asked), self.size * 1000 / window_ms)

    @property
    def window_ms(self) -> int:
        """How long the fetch window of a change is."""
        window = fetch_window(self.spec, self.spec.lifetime_ms)
        return window.closes_in_ms - window.opens_in_ms

    def rush_before(self, switch_ns: int) -> Rush:
        """Return the requests in the fetch window of a change, from where it opens to the switch."""
        opens_ns = switch_ns - self.spec.prefetch_at.of_ms(self.spec.lifetime_ms) * NS_PER_MS
        what = f"window before the change at {switch_ns / NS_PER_S:.0f} s"
        return self.rush(what, opens_ns, switch_ns, self.window_ms)

    def rush_after(self, what: str, at_ns: int) -> Rush:
        """Return the requests that a surprise at `at_ns` brought, second tries among them."""
        span_ms = spread_ms(self.spec, self.size)
        until_ns = at_ns + (span_ms + guard_ms(self.spec)) * NS_PER_MS
        return self.rush(what, at_ns, until_ns, span_ms)

    def assert_perfect(self, viewers: Iterable[Viewer] | None = None) -> None:
        """Each has all that the network brought it, in order, once, and not a byte is wrong."""
        for viewer in self.scene.viewers if viewers is None else viewers:
            viewer.check_counts()
            assert_perfect(viewer)


def peak_per_s(instants_ns: Iterable[int]) -> int:
    """Return how many of rising instants fall into the busiest second, wherever that begins."""
    within: deque[int] = deque()
    peak = 0
    for at_ns in instants_ns:
        within.append(at_ns)
        while at_ns - within[0] >= NS_PER_S:
            within.popleft()
        peak = max(peak, len(within))
    return peak


class SharedKey:
    """An Ed25519 public key that works out the same check once for a crowd, and remembers the outcome.

    A check costs 100 to 150 µs and is the same for each of 10,000 receivers. Only the arithmetic is shared:
    each session still reads, judges and applies the packet by itself.
    """

    _outcomes: dict[tuple[bytes, bytes, bytes], bool] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    @classmethod
    def from_public_bytes(cls, raw: bytes) -> Self:
        """Do as `Ed25519PublicKey`."""
        return cls(raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Do as `Ed25519PublicKey`."""
        asked = (self._raw, signature, data)
        if asked not in self._outcomes:
            if len(self._outcomes) >= REMEMBERED_MAX:
                self._outcomes.clear()
            self._outcomes[asked] = self._is_good(signature, data)
        if not self._outcomes[asked]:
            raise InvalidSignature

    def _is_good(self, signature: bytes, data: bytes) -> bool:
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def share_signature_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have receivers made from now on share the arithmetic of signature checks."""
    monkeypatch.setattr(control, "Ed25519PublicKey", SharedKey)
