"""Gives the integration tests one film and one broadcaster behind pimd, which take a while to make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.broadcast import Broadcast, on_air
from lab.topology import Family
from sealcast.demo.testcard import make_testcard

FILM_S = 36


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a test card of 8 Mbit/s, longer than any of the tests watches."""
    path = tmp_path_factory.mktemp("film") / "card.ts"
    make_testcard(path, FILM_S)
    return path


@pytest.fixture(scope="session")
def ipv4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broadcast]:
    """Return a broadcaster behind pimd, whose key server answers over IPv4."""
    with on_air(Family.IPV4, tmp_path_factory.mktemp("ipv4")) as broadcast:
        yield broadcast
