"""Owns how a file of sold devices is read: CSV, line by line, each fault with its line, in constant memory.

```
serial,sold_on,seller,note      the first line; serial alone has to be there, the others in any order
TV-0001,2026-01-31,Shop 7,blue  one device a line, UTF-8, with or without a byte order mark
```
What fits is kept in a temporary database on disk until the whole file was looked at, so that a serial number
which stands there twice is found however long the file is.
"""

import csv
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sealcast.core.errors import UsageError
from sealcast.messages.encoding import encode
from sealcast.messages.sold import sold_fault
from sealcast.messages.subscribing import SOLD_PER_REQUEST, SoldDevice

COLUMNS = ("serial", "sold_on", "seller", "note")
LINE_BYTES_MAX = 16_384
"""Far more than the longest fields take; what is no text has no lines, and is not read into memory."""

BATCH_BYTES_MAX = 120_000
"""Devices of one request, encoded: signed, they take 4/3 of it, and a request has 256 KiB at most."""

CACHE_KIB = 8_192
"""What the temporary database keeps in memory; the rest is on disk."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Complain = Callable[[int, str], None]
"""Takes the number of a line, from 1, and what is wrong with it."""


class SoldFile:
    """The sold devices of a file that was read: those that fit, and how many lines did not."""

    def __init__(self) -> None:
        """Open the temporary database; it is gone when this is closed, or with the process."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._database.execute(
            "CREATE TABLE device (line INTEGER NOT NULL, serial TEXT PRIMARY KEY, sold_on TEXT NOT NULL,"
            " seller TEXT NOT NULL, note TEXT NOT NULL)"
        )
        self.good = 0
        self.bad = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def read(self, path: Path, complain: Complain, advance: Callable[[int], None]) -> None:
        """Read a file; `complain` hears of each line that does not fit, `advance` of bytes that were read.

        Raises UsageError if the file cannot be read, or its first line is no header.
        """
        try:
            with path.open("rb") as file:
                self._database.execute("BEGIN")
                self._read(file, path, complain, advance)
                self._database.execute("COMMIT")
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error

    def batches(self) -> Iterator[list[SoldDevice]]:
        """Give the devices that fit, in the file's order, as many at a time as a request takes."""
        batch: list[SoldDevice] = []
        size = 0
        query = "SELECT serial, sold_on, seller, note FROM device ORDER BY rowid"
        for serial, sold_on, seller, note in self._database.execute(query):
            device = SoldDevice(serial=serial, sold_on=sold_on, seller=seller, note=note)
            bytes_ = len(encode(device)) + 1
            if len(batch) == SOLD_PER_REQUEST or (batch and size + bytes_ > BATCH_BYTES_MAX):
                yield batch
                batch, size = [], 0
            batch.append(device)
            size += bytes_
        if batch:
            yield batch

    def _read(self, file: BinaryIO, path: Path, complain: Complain, advance: Callable[[int], None]) -> None:
        lines = _lines(file, advance)
        columns = _columns(next(lines, b""), path)
        for number, line in enumerate(lines, start=2):
            fault = self._take(number, line, columns)
            if fault is not None:
                self.bad += 1
                complain(number, fault)

    def _take(self, number: int, line: bytes, columns: tuple[str, ...]) -> str | None:
        """Keep the device of a line, if it is one; return what is wrong with the line."""
        if not line.strip():
            return None
        try:
            cells = _cells(line)
        except ValueError as error:
            return str(error)
        if len(cells) != len(columns):
            return f"it has {len(cells)} columns, and the first line has {len(columns)}"
        device = SoldDevice(**dict(zip(columns, cells, strict=True)))
        return sold_fault(device) or self._keep(number, device)

    def _keep(self, number: int, device: SoldDevice) -> str | None:
        row = (number, device.serial, device.sold_on, device.seller, device.note)
        kept = self._database.execute("INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?)", row).rowcount
        if kept:
            self.good += 1
            return None
        query = "SELECT line FROM device WHERE serial = ?"
        ((first,),) = self._database.execute(query, (device.serial,)).fetchall()
        return f"serial number {device.serial} stands in line {first} already"


def _lines(file: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Give the lines of a file, each at most `LINE_BYTES_MAX` + 1 long: the rest of others is dropped."""
    while line := file.readline(LINE_BYTES_MAX + 1):
        size = len(line)
        end = line
        while len(end) > LINE_BYTES_MAX and not end.endswith(b"\n"):
            end = file.readline(LINE_BYTES_MAX + 1)
            size += len(end)
        advance(size)
        yield line


def _cells(line: bytes) -> list[str]:
    """Return the cells of one line, without blanks around them; raises ValueError with a reason."""
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"it is longer than {LINE_BYTES_MAX:,} bytes")
    try:
        text = line.decode().rstrip("\r\n")
        (cells,) = csv.reader([text], strict=True)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"its quotes do not fit: {error}") from None
    return [cell.strip() for cell in cells]


def _columns(line: bytes, path: Path) -> tuple[str, ...]:
    """Return the names of the columns; raises UsageError for a first line that does not tell them."""
    try:
        columns = tuple(cell.lower() for cell in _cells(line.removeprefix(BYTE_ORDER_MARK)))
    except ValueError as error:
        raise UsageError(f"{path} line 1: {error}") from error
    if "serial" not in columns or len(set(columns)) < len(columns) or not set(columns) <= set(COLUMNS):
        raise UsageError(
            f"{path} line 1: it has to name the columns, serial and maybe sold_on, seller and note,"
            " with commas between"
        )
    return columns
