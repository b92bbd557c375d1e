"""Gives the fault tests their site: an operator whose key server runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.nursery import Forks
from faults.site import Site, new_site


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Return the process that all others are forked from."""
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, forks: Forks) -> Iterator[Site]:
    """Return a site without channels."""
    with new_site(tmp_path, forks) as made:
        yield made
