"""Owns how much of a list goes into one answer: as many rows as were asked for and as a message holds."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from sealcast.messages.encoding import encode

PAGE_BYTES_MAX = 200_000
"""Rows of one answer, encoded: with the rest of it they stay below the size of a message."""

Row = TypeVar("Row", bound=msgspec.Struct)


def fill(rows: Iterable[Row], limit: int) -> tuple[list[Row], bool]:
    """Return the first rows, at most `limit`, and whether there are more.

    Costs an encoding of each row.
    """
    page: list[Row] = []
    size = 0
    for row in rows:
        size += len(encode(row)) + 1
        if len(page) == limit or (page and size > PAGE_BYTES_MAX):
            return page, True
        page.append(row)
    return page, False
