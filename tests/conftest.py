"""Owns what every test stands on: where programs are found, the guard over keys, how hypothesis works."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from guard.plugin import install as install_key_guard

if TYPE_CHECKING:
    from storage.places import Places

UNPACKED = Path(__file__).resolve().parents[1] / ".stamps" / "unpacked" / "usr" / "sbin"
"""Where tools/install-debian-packages leaves the routers that cannot be installed side by side."""

os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", str(UNPACKED)])

# A busy machine must not fail an example for being slow, and a failure must be the same the next time.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Have every test fail in which a key reaches a log, before anything of Sealcast is imported."""
    install_key_guard(config)


@pytest.fixture(scope="session")
def postgres_places() -> Iterator["Places"]:
    """Give a private PostgreSQL for the tests of this session."""
    from lab.postgres import postgres  # noqa: PLC0415 - started by few
    from storage.places import Places  # noqa: PLC0415 - as above

    with postgres() as server:
        yield Places(server)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def both_databases(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a module once with databases as files, and once with databases on PostgreSQL (`storage.places`)."""
    from storage.places import on  # noqa: PLC0415 - as above

    is_file = request.param == "sqlite"
    with on(None if is_file else request.getfixturevalue("postgres_places")):
        yield request.param
