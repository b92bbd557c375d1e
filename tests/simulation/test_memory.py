"""A simulated day or its first hours, a key change each ten minutes: nothing in sender or receiver grows."""

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import pytest

from guard.plugin import GUARD
from simulation.harness import Scene
from simulation.parts import SECOND, make_spec

HOUR = 3_600 * SECOND
CONTAINERS = (dict, list, set, tuple, frozenset)
GROWTH_BYTES_MAX = 32 << 10
GROWTH_BLOCKS_MAX = 200


def items_of(thing: object) -> Iterator[object]:
    """Return what an object holds: its attributes, slots and items."""
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, CONTAINERS) or type(thing).__name__ == "deque":
        yield from thing
    elif hasattr(thing, "__dict__"):
        yield from vars(thing).values()
    for base in type(thing).__mro__:
        for name in getattr(base, "__slots__", ()):
            if hasattr(thing, name):
                yield getattr(thing, name)


def size(root: object) -> int:
    """Return how many objects of any kind hang on one: containers count their items."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType, FunctionType, MethodType, str, bytes)):
            continue
        seen.add(id(thing))
        todo.extend(items_of(thing))
    return len(seen)


def size_at(scene: Scene, at_ns: int) -> tuple[int, int, int]:
    """Let time pass, tidy up what the simulation itself keeps, and return the sizes."""
    scene.world.run_until(at_ns)
    scene.keyserver.reports.clear()
    scene.keyserver.asked_ns.clear()
    scene.keyserver.published_ns.clear()
    scene.studio.switches.clear()
    gc.collect()
    (viewer,) = scene.viewers
    return size(scene.studio.live_session()), size(viewer.session), size(scene.studio.store)


@pytest.mark.parametrize("hours", [9, pytest.param(24, marks=pytest.mark.soak)])
def test_a_day_leaves_no_trace(hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes of all that sender and receiver hold, and of the interpreter, are flat after the first hour."""
    # The tests' own guard remembers every key that there was, and this test measures memory.
    monkeypatch.setattr(type(GUARD.known), "add", lambda *_: None)
    scene = Scene(tmp_path, make_spec(600_000), packets_per_second=0.1, size_bytes=1316)
    viewer = scene.viewer()
    viewer.is_recording = scene.studio.is_recording = False
    scene.studio.start()
    scene.world.run_until(HOUR)
    sizes, blocks = [], []
    for hour in range(2, hours):
        sizes.append(size_at(scene, hour * HOUR))
        blocks.append(sys.getallocatedblocks())
    tracemalloc.start()
    try:
        size_at(scene, (hours - 1) * HOUR + HOUR // 2)
        before_bytes, _ = tracemalloc.get_traced_memory()
        size_at(scene, hours * HOUR)
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert viewer.session.stats.key_changes == 6 * hours - 1
    assert viewer.lost == 0
    half = len(blocks) // 2
    for each in zip(*sizes, strict=True):
        assert max(each) - min(each) <= 40, "slots of a lease come and go, and nothing else"
        assert max(each[half:]) <= max(each[:half]) + 4
    assert max(blocks[half:]) - max(blocks[:half]) < GROWTH_BLOCKS_MAX
    assert after_bytes - before_bytes < GROWTH_BYTES_MAX
