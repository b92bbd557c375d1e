"""Owns what every test stands on: where programs are found, the guard over keys, how hypothesis works."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from guard.plugin import install as install_key_guard

UNPACKED = Path(__file__).resolve().parents[1] / ".stamps" / "unpacked" / "usr" / "sbin"
"""Where tools/install-debian-packages leaves the routers that cannot be installed side by side."""

os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", str(UNPACKED)])

# A busy machine must not fail an example for being slow, and a failure must be the same the next time.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Have every test fail in which a key reaches a log, before anything of Sealcast is imported."""
    install_key_guard(config)
