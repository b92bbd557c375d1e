"""Owns what a running stream reads again on SIGHUP: configuration and credential, never the stream itself."""

import asyncio

import structlog
import typer

from sealcast.cli import acting
from sealcast.client import Use
from sealcast.core.errors import SealcastError
from sealcast.device.vault import Vault

log = structlog.get_logger("sealcast.cli")


class Reloading:
    """Reads the log level and the vault's servers and certificates anew, one reload at a time.

    Calling order: `attach` once the stream has its client, `ask` in its loop as often as wanted.
    """

    def __init__(self, context: typer.Context, vault: Vault) -> None:
        """`vault` is the one that the stream was started with."""
        self._context, self._vault = context, vault
        self._use: Use | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def attach(self, use: Use) -> None:
        """Take the way to the stream's client."""
        self._use = use

    def ask(self) -> None:
        """Begin a reload; asked during another, one more follows."""
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._reload_all())

    async def _reload_all(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await self._reload()
            except SealcastError as error:
                log.error("not reloaded, the old settings stay in force", reason=str(error))  # noqa: TRY400

    async def _reload(self) -> None:
        # In a thread: files may be slow, and packets must leave and come in time.
        vault = await asyncio.to_thread(self._vault.reopen)
        loaded = await asyncio.to_thread(acting.settings, self._context)
        if self._use is not None:
            self._use(vault.credential, vault.keep_certificates)
        self._vault = vault
        level = loaded.settings.logging.level
        log.info("reloaded", level=level, servers=vault.credential.servers)
