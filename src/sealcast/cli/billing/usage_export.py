"""Owns the export of usage: events to a file or standard output, and then the place up to which they came.

Imported by commands when they run, not for their help.
"""

import os
import sys
from pathlib import Path

from sealcast.billing.cloudevents import usage_event
from sealcast.cli.acting import Operator
from sealcast.cli.billing.usage_asking import Filter, every_page
from sealcast.cli.failures import say
from sealcast.core.errors import UsageError
from sealcast.device.files import replace_private
from sealcast.messages.charging import UsageList

PLACE_CHARS_MAX = 200
"""A longer text in a cursor's file is not ours."""


class Export:
    """Writes pages of usage; the place is noted once its events are on disk: a crash leaves nothing out."""

    def __init__(self, cursor: Path | None, output: Path | None, after: str) -> None:
        """Read the cursor's file, if it is there; raises UsageError if it is none."""
        if after and cursor is not None:
            raise UsageError("name a place with --after or a file with --cursor, not both")
        self._cursor = cursor
        self._output = output
        self._place = after if cursor is None else _read_place(cursor)

    def run(self, operator: Operator, wanted: Filter) -> None:
        """Write all events behind the place."""
        name = operator.credential.operator
        every_page(operator, wanted, self._place, lambda page: self._take(page, name))
        if self._cursor is None:
            say(f"what comes later comes behind: --after '{self._place}'")

    def _take(self, page: UsageList, operator: str) -> None:
        data = b"".join(usage_event(row, operator) for row in page.usage)
        if self._output is None:
            sys.stdout.write(data.decode())
            sys.stdout.flush()
        elif data:
            _append(self._output, data)
        self._place = page.next
        if self._cursor is not None:
            replace_private(self._cursor, f"{page.next}\n".encode())


def _read_place(cursor: Path) -> str:
    """Return the place in a cursor's file, the beginning if there is none."""
    try:
        text = cursor.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {cursor}: {error}") from error
    if len(text) > PLACE_CHARS_MAX or "\n" in text:
        raise UsageError(f"{cursor} holds no place of an export; name another file with --cursor")
    return text


def _append(output: Path, data: bytes) -> None:
    """Add events to a file durably."""
    try:
        with output.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from error
