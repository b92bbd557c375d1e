"""docs/spec/threat-model.md names tests that exist, and every attack here that it should name."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = (ROOT / "docs" / "spec" / "threat-model.md").read_text()
NAMED = re.compile(r"`((?:[\w/]+\.py)?)::(test_\w+)`")
PLACES = re.compile(r"`(tests/[\w/.]+)`")


def functions_of(path: Path) -> set[str]:
    """Return the test functions of a file."""
    tree = ast.parse(path.read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def named() -> set[tuple[str, str]]:
    """Return the tests that the page names as (file, function); a name without a file is of the last one."""
    found, last = set(), ""
    for file, function in NAMED.findall(PAGE):
        last = file or last
        found.add((last, function))
    return found


@pytest.mark.parametrize(("file", "function"), sorted(named()))
def test_a_named_test_exists(file: str, function: str) -> None:
    """What the page says is shown by a test is; a file without a folder stands here."""
    assert function in functions_of(ROOT / file if "/" in file else HERE / file)


@pytest.mark.parametrize("place", sorted(set(PLACES.findall(PAGE))))
def test_a_named_place_exists(place: str) -> None:
    """Folders and files of tests that the page names are there."""
    assert (ROOT / place).exists()
