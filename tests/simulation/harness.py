"""Owns the simulated world as tests want it: a key server, a sender and receivers, from one seed.

```
Studio (SenderSession, SlotStore) ──data, control──► SimNetwork ──► Viewer (ReceiverSession) …
        └──questions, answers──► ModelKeyServer ◄──questions, answers──┘
```
"""

from pathlib import Path

from sealcast.core.channel import ChannelSpec
from sealcast.testing import SimRandom
from simulation.keyserver import ModelKeyServer
from simulation.parts import make_spec
from simulation.studio import Studio
from simulation.viewer import Viewer
from simulation.world import World


class Scene:
    """One channel: `studio` sends, `viewers` watch. Nothing has happened before `world.run_until`."""

    def __init__(
        self, folder: Path, spec: ChannelSpec | None = None, seed: int = 1, **studio: object
    ) -> None:
        self.spec = spec or make_spec(4_000)
        self.folder = folder
        self.keyserver = ModelKeyServer(self.spec, SimRandom(f"keyserver/{seed}"))
        self.world = World(self.keyserver, seed)
        self.studios: list[Studio] = []
        self.viewers: list[Viewer] = []
        self._options = studio
        self.studio = self.new_studio()

    def new_studio(self, **changes: object) -> Studio:
        """Return one more sender, which goes on with the numbers; it has not started."""
        number = self.studios[-1].number if self.studios else 0
        options = {**self._options, **changes, "first_number": number, "name": f"studio{len(self.studios)}"}
        self.studio = Studio(self.world, self.spec, self.folder, **options)
        self.studios.append(self.studio)
        return self.studio

    def viewer(self, **options: object) -> Viewer:
        """Return one more receiver, which begins now."""
        name = f"viewer{len(self.viewers)}"
        self.viewers.append(Viewer(self.world, self.studios, name, **options))
        return self.viewers[-1]

    def finish(self) -> None:
        """End the stream in good order and let everything arrive."""
        self.studio.stop(self.world.now)
        self.world.run_for(5_000_000_000)
        for viewer in self.viewers:
            viewer.check_counts()


def assert_perfect(viewer: Viewer, *, may_be_late: bool = False) -> None:
    """All that the network brought was opened and left in order, once, and not a byte is wrong."""
    stats = viewer.session.stats
    assert viewer.wrong == 0
    assert stats.opened == len(viewer.arrived)
    assert viewer.numbers == sorted(set(viewer.numbers))
    assert len(viewer.numbers) == stats.opened - stats.late
    assert set(viewer.numbers) <= viewer.arrived
    if not may_be_late:
        assert viewer.numbers == sorted(viewer.arrived)
    assert (stats.refused, stats.foreign, stats.dropped) == (0, 0, 0)
