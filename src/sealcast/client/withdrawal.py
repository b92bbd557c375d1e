"""Owns a device's way out of its channels, in steps that each stand on the disk before the next.

```
ask ──► (receivers end) ──► state: statement in the outbox ──┐
  ┌── finish ◄───────────────────────────────────────────────┘
  └─► KEK destroyed ──► sent until the receipt ──► receipt kept ──► signing key destroyed ──► outbox cleared
      (last channel)                                                (last channel)
```
`finish` does what is not done yet: whoever was interrupted calls it again. There is one statement for each
withdrawal, however often it is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealcast.client.keyserver import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError
from sealcast.device.erasure import make_statement, read_receipt
from sealcast.device.outbox import Outbox, Waiting
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Destroyed, Vault
from sealcast.messages.operations import WITHDRAW, WITHDRAWAL
from sealcast.messages.subscribing import ALL_CHANNELS, Receipt, WithdrawalBegun, Withdrawn

ERASURE_REFUSED = "erasure-refused"


@dataclass(frozen=True, slots=True)
class Done:
    """A withdrawal that is over: the receipt and its file. `is_last`: the device's keys are destroyed."""

    receipt: Receipt
    path: Path
    is_last: bool


class Withdrawing:
    """Withdraws the device of `vault` with its `keys`; `outbox` is entered, each `client` open."""

    def __init__(self, vault: Vault, keys: PartyKeys, outbox: Outbox) -> None:
        self.vault = vault
        self._keys = keys
        self._outbox = outbox

    async def ask(self, channel: str, client: KeyServerClient) -> WithdrawalBegun:
        """Ask what is to be stated; changes nothing but that an earlier answer counts no more.

        Raises as `KeyServerClient.call`.
        """
        # A device without its KEK can only go altogether.
        wanted = channel if self.vault.credential.destroyed is None else ALL_CHANNELS
        return await client.expect(WITHDRAWAL, WithdrawalBegun, channel=wanted)

    def state(self, begun: WithdrawalBegun, last_index: Mapping[int, int] | None = None) -> Waiting:
        """Put the statement into the outbox; no program of the device may hold a key of the scope by now."""
        statement = make_statement(self.vault.credential, self._keys.signing, begun, last_index)
        waiting = Waiting(
            scope=begun.scope, channels=begun.channels, counter=begun.counter, statement=statement
        )
        self._outbox.put(waiting)
        return waiting

    async def finish(self, waiting: Waiting, client: KeyServerClient) -> Done:
        """Take a statement from the outbox to its receipt, and destroy what it says is destroyed.

        Raises RefusedError (`erasure-refused`: the statement is set aside, and another withdrawal may begin),
        UnreachableError (the outbox waits for the next try), UsageError (a file).
        """
        is_last = waiting.scope == ALL_CHANNELS
        if is_last:
            self._destroy(signing=self._has_no_keys)
        receipt = self._kept(waiting) or await self._send(waiting, client)
        read = read_receipt(receipt, self.vault.credential, waiting.statement)
        path = self._outbox.keep_receipt(waiting.counter, receipt)
        if is_last:
            self._destroy(signing=True)
        self._outbox.clear()
        return Done(read, path, is_last)

    @property
    def _has_no_keys(self) -> bool:
        destroyed = self.vault.credential.destroyed
        return destroyed is not None and destroyed.signing

    def _destroy(self, *, signing: bool) -> None:
        """Destroy the KEK, or both keys; what is destroyed already is no error.

        The vault goes first: it says what is left in a token.
        """
        self.vault = self.vault.destroy(Destroyed(outbox=self._outbox.name, signing=signing))
        if self._keys.token is not None:
            self._keys.token.destroy(kek=True, signing=signing)

    def _kept(self, waiting: Waiting) -> str | None:
        """Return the receipt of a statement, if it was kept before a crash.

        One of the same counter for another statement is of before the key server went back to a backup.
        """
        receipt = self._outbox.receipt(waiting.counter)
        if receipt is None:
            return None
        try:
            read_receipt(receipt, self.vault.credential, waiting.statement)
        except RemoteError:
            return None
        return receipt

    async def _send(self, waiting: Waiting, client: KeyServerClient) -> str:
        """Send the statement and return the receipt, which is checked."""
        try:
            answer = await client.expect(WITHDRAW, Withdrawn, statement=waiting.statement)
        except RefusedError as error:
            if error.type == ERASURE_REFUSED:
                self._outbox.set_aside(waiting.counter)
            raise
        read_receipt(answer.receipt, self.vault.credential, waiting.statement)
        return answer.receipt
