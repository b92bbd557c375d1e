"""Owns what goes to standard output: one JSON object for programs, a table or a line for people."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

WIDTH_OFF_TERMINAL = 1_000
"""Off a terminal nothing is wrapped or cut: whoever reads it may look for whole words."""


def print_json(value: object, *, to_stderr: bool = False) -> None:
    """Write one JSON object on one line; to standard error where standard output carries a stream."""
    print_line(msgspec.json.encode(value).decode(), to_stderr=to_stderr)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """Write one line."""
    (sys.stderr if to_stderr else sys.stdout).write(text + "\n")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Write a table, or on a terminal the line `empty` if there is nothing in it."""
    # A receiver prints no table and is spared the memory.
    from rich.console import Console  # noqa: PLC0415 - see above

    terminal = sys.stdout.isatty()
    if not rows and terminal:
        print_line(empty)
        return
    console = Console(width=None if terminal else WIDTH_OFF_TERMINAL, highlight=False)
    console.print(make_table(headers, rows))


def make_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Return a table in our style."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
