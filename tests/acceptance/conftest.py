"""Gives the acceptance tests their clips."""

from pathlib import Path

import pytest

from sealcast.demo.testcard import make_testcard


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a test card of 12 seconds at 8 Mbit/s."""
    path = tmp_path_factory.mktemp("card") / "card.ts"
    make_testcard(path, 12)
    return path
