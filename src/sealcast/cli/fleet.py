"""Owns what `send` and `receive` do alike with all channels of a configuration file."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

import typer

from sealcast.cli import acting, output, running
from sealcast.cli.failures import FAILED
from sealcast.cli.given import given_of
from sealcast.cli.reloading import Reloading
from sealcast.core.errors import SealcastError, UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from sealcast.config.load import Loaded
    from sealcast.device.vault import Vault

Summary = TypeVar("Summary", bound="DataclassInstance")


def settings(context: typer.Context, config: str | None) -> "Loaded":
    """Read the configuration, that of `config` if given; a reload reads the same again."""
    if config is not None:
        context.obj = replace(given_of(context), config=config)
    return acting.settings(context)


def refuse_with_many(beside: str = "--config or --all", /, **given: object) -> None:
    """Raise UsageError for options that belong to one channel and stand beside a file of many."""
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)}: with {beside} every channel has its own in the file; leave it out"
        )


def too_little(channel: str | None, option: str) -> UsageError:
    """Return the error for a command that names neither one channel nor a file of many."""
    missing = f"Missing option '{option}'" if channel is not None else "Missing argument 'CHANNEL'"
    return UsageError(f"{missing}; for all channels of a file: --config FILE, or --all")


def check_without_schedule() -> UsageError:
    """Return the error for `--check` without a schedule to look at."""
    return UsageError("--check looks at a schedule; name it with --schedule FILE")


class Vaults:
    """Opens each vault that channels name, once: channels of one vault share a client."""

    def __init__(
        self, context: typer.Context, loaded: "Loaded", role: Literal["sender", "device"], flag: str | None
    ) -> None:
        """`flag` is the vault of the channels that name none, in place of the configuration's."""
        self._context, self._loaded = context, loaded
        self._role: Literal["sender", "device"] = role
        self._flag = flag
        self._opened: dict[str | None, tuple[Vault, Reloading]] = {}

    def open(self, path: str | None) -> tuple["Vault", Reloading]:
        """Return the vault at `path`, or that of the configuration, and what reloads it."""
        key = path or self._flag
        if key not in self._opened:
            vault = acting.open_credential(self._context, self._loaded, self._role, key)
            self._opened[key] = vault, Reloading(self._context, vault)
        return self._opened[key]

    def reload(self) -> None:
        """Begin a reload of each."""
        for _, reloading in self._opened.values():
            reloading.ask()


@contextmanager
def place(where: str) -> Iterator[None]:
    """Begin the errors inside with the place in the file."""
    try:
        yield
    except SealcastError as error:
        raise UsageError(f"{where}: {error}") from error


def run(
    work: Callable[[asyncio.Event, Callable[[Summary], None]], Awaitable[Summary]],
    describe: Callable[[Summary], str],
    reload: Callable[[], None],
) -> tuple[Summary | None, bool]:
    """Run `work` with a status line until it ends or a signal comes.

    Returns its summary, None if it was cut short, and whether it was told to stop.
    """
    told = asyncio.Event()

    async def watched(stop: asyncio.Event) -> Summary:
        try:
            return await work(stop, line)
        finally:
            if stop.is_set():
                told.set()

    # What the program itself is made of is looked at no more: that would hold up departures for milliseconds.
    gc.collect()
    gc.freeze()
    with running.StatusLine(describe) as line:
        summary = running.run_until_signal(watched, reload=reload)
    return summary, told.is_set()


def conclude(
    summary: "DataclassInstance", table: Callable[[], None], *, failed: int, was_told: bool, json: bool
) -> None:
    """Print the summary; status 1 where channels failed for good and nobody told us to stop."""
    if json:
        output.print_json(summary)
    else:
        table()
    if failed and not was_told:
        raise typer.Exit(FAILED)
