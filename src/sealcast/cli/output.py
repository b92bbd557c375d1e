"""Owns what goes to standard output: one JSON object for programs, a table or a line for people."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OFF_TERMINAL = 1_000
"""Off a terminal nothing is wrapped or cut: whoever reads it may look for whole words."""


def print_json(value: object) -> None:
    """Write one JSON object on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_line(text: str) -> None:
    """Write one line."""
    sys.stdout.write(text + "\n")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Write a table, or on a terminal the line `empty` if there is nothing in it."""
    terminal = sys.stdout.isatty()
    if not rows and terminal:
        print_line(empty)
        return
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if terminal else WIDTH_OFF_TERMINAL, highlight=False).print(table)
