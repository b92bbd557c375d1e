"""Rules that a test keeps over the whole tree, so that no review has to."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = ("src", "tests", "tools", "docs")

MAX_FILE_LINES = 400
"""Past this a file holds a second thing that wants its own file and its own tests."""

MAX_FUNCTION_LINES = 60
"""Past this a function cannot be seen whole."""

UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
"""Written in pieces, so that this file does not find itself."""

CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1\s*$", flags=re.MULTILINE | re.DOTALL)

MAY_PRINT = ("cli", "demo", "bench")
"""The packages that talk to a person; everything else logs or returns."""

OF_THE_EDGE = {"asyncio", "socket", "ssl", "time", "random", "secrets", "sqlalchemy", "litestar", "aiohttp"}
"""What decisions must not import: time, randomness and I/O reach them as arguments."""


def _files(suffix: str) -> list[Path]:
    """Return the project's own files with `suffix`, whether git knows them or not."""
    within = [path for folder in FOLDERS for path in (ROOT / folder).rglob(f"*{suffix}")]
    return sorted([*ROOT.glob(f"*{suffix}"), *within])


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PYTHON = _files(".py")
MARKDOWN = _files(".md")
SOURCE = [path for path in PYTHON if path.is_relative_to(ROOT / "src" / "sealcast")]
DECISIONS = [path for path in SOURCE if path.stem.startswith(("session", "service"))]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=_name(path))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the top-level name of everything that a file imports."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", PYTHON, ids=_name)
def test_a_python_file_stays_small(path: Path) -> None:
    """No file has more than 400 lines, no function more than 60."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, (
        f"{_name(path)} has {lines} lines, {MAX_FILE_LINES} is the most: move the part with its own state out"
    )
    for function in _functions(path):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES, (
            f"{_name(path)}:{function.lineno}: {function.name} has {length} lines, "
            f"{MAX_FUNCTION_LINES} is the most: give its steps names"
        )


@pytest.mark.parametrize("path", PYTHON, ids=_name)
def test_a_python_file_says_what_it_owns(path: Path) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(_tree(path)), (
        f"{_name(path)} has no docstring: open it with one sentence that says what the file owns"
    )


@pytest.mark.parametrize("path", [*PYTHON, *MARKDOWN], ids=_name)
def test_nothing_is_left_for_later(path: Path) -> None:
    """No file carries a mark of unfinished work."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        assert not UNFINISHED.search(line), (
            f"{_name(path)}:{number}: do it now or leave it out: {line.strip()!r}"
        )


@pytest.mark.parametrize("path", MARKDOWN, ids=_name)
def test_a_page_has_one_title(path: Path) -> None:
    """Every Markdown file has exactly one `#` heading outside its code blocks."""
    prose = re.sub(
        r"^(```|~~~).*?^\1\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    titles = re.findall(r"^# .+$", prose, flags=re.MULTILINE)
    assert len(titles) == 1, (
        f"{_name(path)} has {len(titles)} titles {titles}: a page has one, its sections take ##"
    )


@pytest.mark.parametrize("path", SOURCE, ids=_name)
def test_only_programs_print(path: Path) -> None:
    """`print` is called in the packages that talk to a person, nowhere else."""
    if path.relative_to(ROOT / "src" / "sealcast").parts[0] in MAY_PRINT:
        return
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", (
                f"{_name(path)}:{node.lineno}: log it with structlog, or return it to the command line"
            )


@pytest.mark.parametrize("path", DECISIONS, ids=_name)
def test_decisions_do_no_io(path: Path) -> None:
    """Sessions and services import nothing that reads a clock, draws a number or moves a byte."""
    for line, name in _imported(path):
        assert name not in OF_THE_EDGE, (
            f"{_name(path)}:{line}: {name} belongs to the run loop; take `now`, a Random or a port instead"
        )


@pytest.mark.parametrize("path", [path for path in PYTHON if path.name.startswith("test_")], ids=_name)
def test_a_test_says_what_it_shows(path: Path) -> None:
    """Every test function has a docstring."""
    for function in _functions(path):
        assert not function.name.startswith("test_") or ast.get_docstring(function), (
            f"{_name(path)}:{function.lineno}: say in one sentence what {function.name} shows"
        )


def test_no_cancellation_is_lost() -> None:
    """Nothing waits by `asyncio.wait_for`: Python 3.11 loses a cancellation that comes with the event."""
    found = [_name(path) for path in SOURCE if "asyncio.wait_for(" in path.read_text(encoding="utf-8")]
    assert found == [], "use `async with asyncio.timeout(…)`"
