"""The examples that users read are run."""

import doctest
from pathlib import Path
from types import ModuleType

import pytest

from sealcast.testing import clock, links, network, randomness

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.mark.parametrize("module", [clock, links, network, randomness], ids=lambda module: module.__name__)
def test_docstrings(module: ModuleType) -> None:
    """The examples in docstrings give what they say."""
    assert doctest.testmod(module).failed == 0


def test_the_page() -> None:
    """All lines of docs/testing.md give what they say."""
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted > 20
    assert result.failed == 0
