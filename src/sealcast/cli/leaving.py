"""Owns how `sealcast withdraw` goes from its arguments to the receipt, and goes on where it was interrupted.

Imported by the command when it runs, not for its help.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import typer

from sealcast.cli import acting, held
from sealcast.client import KeyServerClient
from sealcast.client.withdrawal import Done, Withdrawing
from sealcast.config.load import Loaded
from sealcast.config.places import private_dir, state_dir
from sealcast.core.errors import LocalError, RefusedError, UnreachableError, UsageError
from sealcast.device.erasure import read_receipt
from sealcast.device.files import read_private
from sealcast.device.holder import keys_of
from sealcast.device.outbox import Outbox, Waiting, read_waiting
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential, Vault
from sealcast.messages.subscribing import ALL_CHANNELS, WithdrawalBegun
from sealcast.transport.system import SystemRandom

FOLDER = "withdrawals"
"""Below the state folder: outboxes and receipts of this machine's devices."""

HOW_TO_GO_ON = "the statement is kept, its keys are gone: type the same command again for the receipt"

RETRY_S = 10.0
"""With `--wait`, from one try to the next."""

SERVER_FAULT_STATUS = 500
"""From this HTTP status on a no is no decision: the key server is overloaded, or its disk is full."""

log = structlog.get_logger("sealcast.cli")


@dataclass(frozen=True, slots=True)
class Device:
    """The device that withdraws: the settings, its vault and keys, and where its outbox is."""

    loaded: Loaded
    vault: Vault
    keys: PartyKeys
    folder: Path


def check_asked(channel: str | None, *, is_all: bool) -> str:
    """Return what to withdraw from; raises UsageError unless it is one channel, or all."""
    if (channel is None) is not is_all or channel == ALL_CHANNELS:
        raise UsageError("name one channel, or give --all; see: sealcast withdraw --help")
    return channel or ALL_CHANNELS


def open_device(context: typer.Context, flag: str | None) -> Device:
    """Open the device's vault, also where a withdrawal has destroyed keys of it; raises UsageError."""
    loaded = acting.settings(context)
    vault = acting.open_credential(context, loaded, "device", flag, allow_destroyed=True)
    return Device(loaded, vault, vault.keys or keys_of(vault.credential), private_dir(_folder(loaded)))


def check_stays(loaded: Loaded, credential: Credential, target: str) -> None:
    """Raise UsageError where a device is about to withdraw from a channel that it is to receive."""
    waiting = read_waiting(_folder(loaded), credential)
    if waiting is not None and (
        waiting.scope == ALL_CHANNELS or target in {waiting.scope, *waiting.channels}
    ):
        raise UsageError(
            f"{credential.id} is withdrawing from {target} and has destroyed its keys; to get the receipt,"
            f" type: sealcast withdraw {target}"
        )


class Leaving:
    """One run of the command. `is_sure`: nobody is asked; `waits`: an absent key server is waited for."""

    def __init__(self, device: Device, *, is_sure: bool, waits: bool) -> None:
        self._device = device
        self._is_sure = is_sure
        self._waits = waits

    def run(self, asked: str) -> Iterator[Done]:
        """Finish what was interrupted, then withdraw from `asked` if that was another; yield each in turn.

        Raises RefusedError, UnreachableError and UsageError, with what to do.
        """
        credential = self._device.vault.credential
        with Outbox(self._device.folder, credential) as outbox:
            withdrawing = Withdrawing(self._device.vault, self._device.keys, outbox)
            waiting = outbox.waiting
            if waiting is not None:
                yield self._finish(withdrawing, waiting)
                if waiting.scope == ALL_CHANNELS or asked in {waiting.scope, *waiting.channels}:
                    return
            elif credential.destroyed is not None and credential.destroyed.signing:
                yield _over(credential, outbox)
                return
            yield self._begin(withdrawing, asked)

    def _begin(self, withdrawing: Withdrawing, asked: str) -> Done:
        """Withdraw from `asked`: ask, end the receivers, state, finish."""
        if asked == ALL_CHANNELS:
            self._confirm("all its channels", must=True)
        begun = asyncio.run(self._ask(withdrawing, asked))
        if asked != ALL_CHANNELS and begun.scope == ALL_CHANNELS:
            self._confirm(f"{asked}, its last channel", must=False)
        if self._end_receivers(begun.scope, begun.channels):
            # They may have been given keys since.
            begun = asyncio.run(self._ask(withdrawing, asked))
        last_index = held.last_opened(self._device.loaded, self._device.vault.credential)
        return self._finish(withdrawing, withdrawing.state(begun, last_index))

    def _end_receivers(self, scope: str, channels: list[str]) -> bool:
        """End the programs of this device that receive channels of the scope; return whether there were any.

        Raises LocalError for one that does not end: it may hold keys, so nothing can be stated.
        """
        names = None if scope == ALL_CHANNELS else [scope, *channels]
        ended = held.end_receivers(self._device.loaded, self._device.vault.credential, names)
        for receiver, is_over in ended:
            if not is_over:
                raise LocalError(
                    f"the receiver in process {receiver.entry.pid} does not end; kill -9 it, then type the"
                    " same command again"
                )
        return bool(ended)

    def _confirm(self, what: str, *, must: bool) -> None:
        """Ask on a terminal whether the device's own keys are to be destroyed; raises typer.Abort for a no.

        Off a terminal nobody can be asked: raises UsageError if they `must` be.
        """
        if self._is_sure:
            return
        if sys.stdin.isatty() and sys.stderr.isatty():
            question = f"{self._device.vault.credential.id} withdraws from {what}; destroy its keys for good?"
            typer.confirm(question, abort=True, err=True)
        elif must:
            raise UsageError("--all destroys this device's keys for good; say --yes if that is what you want")

    def _client(self) -> KeyServerClient:
        # No `keep`: a renewal of certificates must not bring back a vault that is about to lose its keys.
        return KeyServerClient(self._device.vault.credential, SystemRandom(), None, self._device.keys)

    async def _ask(self, withdrawing: Withdrawing, asked: str) -> WithdrawalBegun:
        async with self._client() as client:
            return await withdrawing.ask(asked, client)

    def _finish(self, withdrawing: Withdrawing, waiting: Waiting) -> Done:
        """Take a statement to its receipt; from the outbox on, no new receiver of the scope begins."""
        self._end_receivers(waiting.scope, waiting.channels)
        return asyncio.run(self._send(withdrawing, waiting))

    async def _send(self, withdrawing: Withdrawing, waiting: Waiting) -> Done:
        """Send until the receipt is here; raises UnreachableError where we do not wait."""
        async with self._client() as client:
            while True:
                try:
                    return await withdrawing.finish(waiting, client)
                except (UnreachableError, RefusedError) as error:
                    if isinstance(error, RefusedError) and error.status < SERVER_FAULT_STATUS:
                        raise
                    if not self._waits:
                        raise UnreachableError(f"{error}; {HOW_TO_GO_ON}") from error
                    log.warning("no receipt yet, will send again", reason=str(error))
                await asyncio.sleep(RETRY_S)


def _folder(loaded: Loaded) -> Path:
    state = loaded.settings.receiver.state
    return (Path(state) if state else state_dir(os.environ)) / FOLDER


def _over(credential: Credential, outbox: Outbox) -> Done:
    """Return the last withdrawal of a device that has no keys any more; raises UsageError without receipt."""
    path = outbox.last_receipt()
    if path is None:
        raise UsageError(f"{credential.id} has withdrawn, and its receipt is not in {outbox.folder} any more")
    return Done(
        read_receipt(read_private(path).decode("ascii", "replace").strip(), credential), path, is_last=True
    )
