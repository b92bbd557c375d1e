"""Five hundred receivers under loss, reordering, differing clocks and restarts of each party."""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from sealcast.core.ports import NS_PER_MS
from sealcast.testing import Link, SimRandom
from simulation.crowd import Crowd, share_signature_checks
from simulation.harness import Scene
from simulation.parts import SECOND, make_spec
from simulation.recorder import Recorder
from simulation.viewer import Viewer

RECEIVERS = 500
LIFETIME_MS = 8_000
LIFETIME_NS = LIFETIME_MS * NS_PER_MS
GAP_NS = 500 * NS_PER_MS

REORDER_NS = 1_300 * NS_PER_MS
"""A packet in four arrives behind the next two."""

REORDER_MS = 1_500
"""How long the receivers wait for those, so that none may come too late."""

FIRST_CLOCK_NS = 1_000 * SECOND
"""Monotonic clocks do not begin at zero, and none of them goes below it."""

BEFORE_PUBLICATION_NS = 3 * SECOND
"""So long after a change things fail: who missed all notices has asked, and the next key is not there yet."""

JOIN_NS_MAX = SECOND // 2 + GAP_NS
"""Half a second for the join, and the time to the next packet of so slow a stream."""


class Case(NamedTuple):
    """One point of the grid; `skew_s` is how far the receivers' clocks are before the others'."""

    loss: float
    reorder: float
    skew_s: int
    restart: str


LOSSES = (0.0, 0.01, 0.05, 0.2)
REORDERS = (0.0, 0.25)
SKEWS_S = (-300, 0, 300)
RESTARTS = ("none", "sender", "receivers", "key server")
GRID = [Case(*values) for values in product(LOSSES, REORDERS, SKEWS_S, RESTARTS)]

CORNERS = [
    Case(0.0, 0.0, 300, "sender"),
    Case(0.2, 0.25, -300, "none"),
    Case(0.2, 0.25, 300, "sender"),
    Case(0.05, 0.25, -300, "receivers"),
    Case(0.01, 0.0, 0, "key server"),
]


class Grid:
    """A run of one case."""

    def __init__(self, folder: Path, case: Case, recorder: Recorder) -> None:
        self.case = case
        self.recorder = recorder
        spec = make_spec(LIFETIME_MS)
        self.crowd = Crowd(
            folder, spec, RECEIVERS, seed=GRID.index(case), packets_per_second=2, size_bytes=1316
        )
        self.scene: Scene = self.crowd.scene
        self.link = Link(loss=case.loss, reorder=case.reorder, reorder_ns=REORDER_NS)
        self.controls = 0
        self._watch_control()

    def run(self) -> None:
        """Play the case to its end."""
        self.scene.studio.start()
        self.crowd.arrive(SECOND, 3 * SECOND, self.make_viewer)
        self.scene.world.run_until(2 * LIFETIME_NS + BEFORE_PUBLICATION_NS)
        match self.case.restart:
            case "sender":
                self.crowd.restart_sender()
                self._watch_control()
            case "receivers":
                self._restart_receivers()
            case "key server":
                self._restart_key_server()
        self.scene.world.run_for(LIFETIME_NS + SECOND)
        # A receiver that still waits for the newest key when the stream ends is another matter.
        self.scene.world.run_until(max(self.scene.world.now, self.scene.studio.switches[-1][0] + 4 * SECOND))
        self.scene.studio.stop(self.scene.world.now)
        self.scene.world.run_for(5 * SECOND)

    def make_viewer(self, scene: Scene, number: int) -> Viewer:
        """Return a receiver with the case's link and clock; each its own part of a second besides."""
        ahead_ns = FIRST_CLOCK_NS + self.case.skew_s * SECOND + number * 1_234_567
        return scene.viewer(link=self.link, reorder_ms=REORDER_MS, ahead_ns=ahead_ns)

    def check(self) -> None:
        """Check all that must hold in each case."""
        lasting = [viewer for viewer in self.scene.viewers if not viewer.has_crashed]
        assert len(lasting) == RECEIVERS
        self.crowd.assert_perfect(lasting)
        for viewer in self.scene.viewers:
            assert viewer.wrong == 0
            assert viewer.lost <= viewer.endpoint.stats.lost + viewer.endpoint.stats.dropped
            assert viewer.first_opened_ns is not None
            is_well = not self.case.loss and not self.case.reorder
            assert not is_well or viewer.first_opened_ns - viewer.began_ns <= JOIN_NS_MAX
        self._check_nonces()

    def check_requests(self) -> None:
        """Check that no second brought a herd, neither before the changes nor after a restart."""
        switches = [at for studio in self.scene.studios for at, _ in studio.switches]
        for switch_ns in switches[1:3]:
            self.crowd.rush_before(switch_ns).assert_no_herd()
        if self.case.restart == "sender":
            self.crowd.rush_after("sender's restart", switches[3]).assert_no_herd()

    def _check_nonces(self) -> None:
        """All that left was seen by the recorder, data and control, and no (key, IV) came twice."""
        self.recorder.assert_fresh(at_least=self.scene.studio.number + self.controls)
        assert self.controls > 10
        assert sum(self.recorder.used.values()) == self.scene.studio.number + self.controls

    def _restart_receivers(self) -> None:
        """Kill each receiver at an instant of its own in four seconds; it is back after 300 ms."""
        random = SimRandom("kills")
        for number, viewer in enumerate(list(self.scene.viewers)):
            at_ns = self.scene.world.now + random.below(4 * SECOND)
            self.scene.world.at(at_ns, lambda _, viewer=viewer: viewer.crash())
            again_ns = at_ns + 300 * NS_PER_MS
            self.scene.world.at(again_ns, lambda _, number=number: self.make_viewer(self.scene, number))

    def _restart_key_server(self) -> None:
        """Kill the key server for two lifetimes."""
        self.scene.world.is_keyserver_up = False
        self.scene.world.run_for(2 * LIFETIME_NS)
        self.scene.keyserver.restart()
        self.scene.world.is_keyserver_up = True

    def _watch_control(self) -> None:
        self.scene.studio.on_control = self._count

    def _count(self, packet: bytes) -> bytes:
        self.controls += 1
        return packet


def check(folder: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a case and check it."""
    share_signature_checks(monkeypatch)
    grid = Grid(folder, case, Recorder.install(monkeypatch))
    grid.run()
    grid.check()
    grid.check_requests()


@pytest.mark.parametrize("case", CORNERS, ids=str)
def test_corners_of_the_grid(tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value of each axis once: all that arrived left in order, once, and no (key, IV) came twice."""
    check(tmp_path, case, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("case", [case for case in GRID if case not in CORNERS], ids=str)
def test_the_grid(tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for every other point of loss, reordering, clocks and restarts."""
    check(tmp_path, case, monkeypatch)
