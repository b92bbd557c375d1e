"""Owns the way of many sold devices to the key server and back, batch by batch.

Imported by commands when they run, not for their help.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from sealcast.cli.acting import Listing, Operator, client_of
from sealcast.cli.failures import say
from sealcast.cli.progress import progress_bar
from sealcast.cli.soldfile import SoldFile
from sealcast.core.errors import UsageError
from sealcast.messages import operations
from sealcast.messages.subscribing import SOLD_PER_REQUEST, SoldAdded, SoldList, SoldRow


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: lines that fit and that do not, devices that were new and known."""

    good: int
    bad: int
    added: int
    known: int
    strict: bool


def import_file(operator: Operator, path: Path, *, is_strict: bool) -> Imported:
    """Send the sold devices of a file to the key server; each line that does not fit is told on stderr.

    With `is_strict` nothing is sent if there is such a line. Raises UsageError for a file that cannot be read
    or has no header, and as `KeyServerClient.call`.
    """
    with SoldFile() as file, progress_bar() as bar:
        try:
            task = bar.add_task("reading", total=path.stat().st_size)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
        file.read(
            path,
            lambda line, fault: say(f"{path} line {line}: {fault}"),
            lambda count: bar.advance(task, count),
        )
        added = known = 0
        if file.good and not (file.bad and is_strict):
            added, known = asyncio.run(_send(operator, file, bar))
        return Imported(file.good, file.bad, added, known, is_strict)


_SOLD: Listing[SoldList, SoldRow] = Listing(
    operations.SOLD_LIST,
    SoldList,
    lambda page: (page.devices, page.more),
    lambda row: row.serial,
    SOLD_PER_REQUEST,
)


def pages(operator: Operator, after: str, limit: int) -> tuple[list[SoldRow], bool]:
    """Return at most `limit` devices of the list behind `after`, and whether there are more."""
    return _SOLD.ask(operator, after, limit)


async def _send(operator: Operator, file: SoldFile, bar: Progress) -> tuple[int, int]:
    """Send all batches of a file; return how many devices were new, and how many known."""
    task = bar.add_task("importing", total=file.good)
    added = known = 0
    async with client_of(operator) as client:
        for batch in file.batches():
            answer = await client.expect(operations.SOLD_ADD, SoldAdded, devices=batch)
            added += answer.added
            known += len(answer.known)
            bar.advance(task, len(batch))
    return added, known
