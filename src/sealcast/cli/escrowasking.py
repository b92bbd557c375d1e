"""Owns who asks an escrow from the command line: this machine's device through its agent, or a vault's party.

Imported by commands when they run, not for their help.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer
from msgspec.structs import replace

from sealcast.cli.given import given_of
from sealcast.cli.passphrases import passphrase_source, pin_source
from sealcast.client import KeyServerClient
from sealcast.client.agent import AgentClient
from sealcast.client.escrowplace import find_escrow
from sealcast.config.places import agent_socket
from sealcast.core.errors import UsageError
from sealcast.device.holder import open_with_keys
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import Joined, escrow_audience
from sealcast.messages.operations_escrow import ESCROW_JOIN
from sealcast.transport.system import SystemRandom

T = TypeVar("T")
ROLES = ("seller", "operator")
"""Whose vault does in place of the agent."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a credential without servers, what it signs with, and the certificates that it joins by.

    `agent` is there for a device; operators have no certificates and need none.
    """

    credential: Credential
    keys: PartyKeys | None
    certificates: Certificates | None
    agent: AgentClient | None = None

    def client(self, servers: Sequence[str], escrow: str) -> KeyServerClient:
        """Return a client that asks the escrow of that id, to be entered; it renews no certificates."""
        credential = replace(self.credential, servers=list(servers), certificates=None)
        audience = escrow_audience(credential.operator, escrow)
        return KeyServerClient(credential, SystemRandom(), None, self.keys, audience=audience)

    def ask(
        self,
        servers: Sequence[str],
        work: Callable[[KeyServerClient], Awaitable[T]],
        escrow: str | None = None,
    ) -> T:
        """Do `work` at one escrow, as a party that it knows; raises as `KeyServerClient.call`.

        Without the id of an `escrow` whoever answers has to prove which one it is: `find_escrow`.
        """

        async def once() -> T:
            whom = escrow or (await find_escrow(servers, self.credential.ca_pem)).id
            async with self.client(servers, whom) as client:
                await self.join(client)
                return await work(client)

        return asyncio.run(once())

    async def join(self, client: KeyServerClient) -> None:
        """Be known at an escrow by the present certificates; for an operator nothing is to be done."""
        if self.certificates is not None:
            await client.expect(ESCROW_JOIN, Joined, certificates=self.certificates)


@contextmanager
def asker(context: typer.Context, vault: str | None, socket: str | None) -> Iterator[Asker]:
    """Give who asks: the seller or operator of `vault`, else the device whose agent listens at `socket`.

    Raises UsageError, and UnreachableError where no agent answers.
    """
    if vault is not None:
        if socket is not None:
            raise UsageError("give either --credential, a seller's or operator's vault, or --agent")
        yield _party(context, Path(vault))
        return
    with AgentClient(agent_socket(os.environ, socket)) as agent:
        yield Asker(agent.credential([]), agent.keys(), agent.presence.certificates, agent)


def _party(context: typer.Context, path: Path) -> Asker:
    given = given_of(context)
    vault = open_with_keys(path, passphrase_source(given), pin_source(given))
    credential = vault.credential
    if credential.role not in ROLES:
        raise UsageError(
            f"{path} belongs to a {credential.role}; a device asks through its agent (device serve), a"
            " seller and an operator with their vaults"
        )
    certificates = credential.certificates
    if credential.role == "seller" and certificates is None:
        raise UsageError(f"{path} has no certificates, and an escrow knows a seller by nothing else")
    return Asker(credential, vault.keys, certificates if credential.role == "seller" else None)
