"""Owns what commands do alike: read the settings, begin the log, open a vault, ask the key server.

Imported by commands when they run, not for their help.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec
import typer
from msgspec.structs import replace

from sealcast.cli.given import given_of
from sealcast.cli.passphrases import passphrase_source, pin_source
from sealcast.client import KeyServerClient
from sealcast.config import logs
from sealcast.config.load import Loaded, load
from sealcast.core.errors import UsageError
from sealcast.device.holder import open_with_keys
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential, Vault
from sealcast.messages import operations
from sealcast.messages.answers import SubscriberList, SubscriberRow
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.operation import Operation
from sealcast.transport.system import SystemRandom

Answer = TypeVar("Answer", bound=msgspec.Struct)
Row = TypeVar("Row", bound=msgspec.Struct)

HOW_TO_GET = {
    "operator": "make one with: sealcast init",
    "sender": "make one with: sealcast registry add NAME --role sender --output NAME.vault",
    "device": "get one with: sealcast enrol, or on the operator's machine with: sealcast registry add",
}
ARTICLE_OF = {"operator": "an", "sender": "a", "device": "a", "replica": "a", "seller": "a"}
PAGES_MAX = 10_000
"""Pages of one list: millions of rows. A server that went round in circles would be asked for ever."""

SECTION_OF = {"operator": "admin", "sender": "sender", "device": "receiver"}


def settings(context: typer.Context) -> Loaded:
    """Read the configuration and send the log where it says; raises UsageError."""
    given = given_of(context)
    loaded = load(Path(given.config) if given.config else None, os.environ)
    logging = loaded.settings.logging
    logs.set_up(logging.level, logging.format, louder=given.louder)
    return loaded if given.servers is None else loaded.choosing(given.servers)


def open_credential(
    context: typer.Context,
    loaded: Loaded,
    role: Literal["operator", "sender", "device"],
    flag: str | None = None,
    *,
    allow_destroyed: bool = False,
) -> Vault:
    """Open the vault that `flag` or the settings name for a role; raises UsageError with what to do.

    `allow_destroyed`: also one whose keys a withdrawal has destroyed.
    """
    path = flag or _configured(loaded, role)
    if path is None:
        raise UsageError(
            f"no credential of a {role} is given; {HOW_TO_GET[role]}, then name it with --credential"
            f" or as credential under [{SECTION_OF[role]}] in {loaded.path}"
            if role != "operator"
            else f"no operator's credential is given; {HOW_TO_GET[role]}, or name it as credential"
            f" under [admin] in {loaded.path}"
        )
    given = given_of(context)
    vault = open_with_keys(
        Path(path), passphrase_source(given), pin_source(given), allow_destroyed=allow_destroyed
    )
    found = vault.credential
    if found.id == NEWCOMER:
        raise UsageError(f"{path} waits for the end of an enrolment: type the command sealcast enrol again")
    if found.role != role:
        raise UsageError(
            f"{path} belongs to {ARTICLE_OF[found.role]} {found.role},"
            f" and this takes {ARTICLE_OF[role]} {role}'s; {HOW_TO_GET[role]}"
        )
    return vault


@dataclass(frozen=True, slots=True)
class Operator:
    """Who administers: the credential, what keeps it when its certificates were renewed, keys in a token."""

    credential: Credential
    keep: Callable[[Credential], None]
    keys: PartyKeys | None = None


def operator(context: typer.Context) -> Operator:
    """Return who administers; `urls` under [keyserver], where set, stand over the credential's addresses."""
    loaded = settings(context)
    vault = open_credential(context, loaded, "operator")
    urls = loaded.settings.keyserver.urls
    credential = replace(vault.credential, servers=urls) if urls else vault.credential
    return Operator(credential, vault.keep_certificates, vault.keys)


def client_of(operator: Operator) -> KeyServerClient:
    """Return a client that asks as the operator, to be entered."""
    return KeyServerClient(operator.credential, SystemRandom(), operator.keep, operator.keys)


def ask(operator: Operator, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
    """Ask the key server once; raises as `KeyServerClient.call`."""

    async def once() -> Answer:
        async with client_of(operator) as client:
            return await client.expect(operation, kind, **fields)

    return asyncio.run(once())


def ask_for_subscribers(operator: Operator, channel: str | None) -> list[SubscriberRow]:
    """Return all subscribers, or those of one channel, page by page; raises as `KeyServerClient.call`."""
    found: list[SubscriberRow] = []

    def take(page: SubscriberList) -> str | None:
        found.extend(page.subscribers)
        return page.next

    read_pages(operator, operations.SUBSCRIBER_LIST, SubscriberList, take, channel=channel)
    return found


def read_pages(
    operator: Operator,
    operation: Operation,
    kind: type[Answer],
    take: Callable[[Answer], str | int | None],
    **fields: object,
) -> None:
    """Hand the pages of a list to `take`, which returns the place to go on behind, None at the end.

    Raises as `KeyServerClient.call`.
    """

    async def all_pages() -> None:
        place: dict[str, object] = {}
        async with client_of(operator) as client:
            for _ in range(PAGES_MAX):
                after = take(await client.expect(operation, kind, **{**fields, **place}))
                if after is None:
                    return
                place = {"after": after}

    asyncio.run(all_pages())


@dataclass(frozen=True, slots=True)
class Listing(Generic[Answer, Row]):
    """A list of the key server: its operation and answer, its rows, and the place behind a row.

    A page has at most `most` rows; `read` returns those of a page, and whether there are more.
    """

    operation: Operation
    kind: type[Answer]
    read: Callable[[Answer], tuple[list[Row], bool]]
    place: Callable[[Row], str | int]
    most: int

    async def rows(
        self, client: KeyServerClient, after: str | int, limit: int, **fields: object
    ) -> tuple[list[Row], bool]:
        """Return at most `limit` rows behind `after`, and whether there are more."""
        found: list[Row] = []
        for _ in range(PAGES_MAX):
            count = min(limit - len(found), self.most)
            page = await client.expect(self.operation, self.kind, **fields, after=after, limit=count)
            rows, has_more = self.read(page)
            found += rows
            if not has_more or len(found) >= limit or not rows:
                return found, has_more
            after = self.place(rows[-1])
        return found, True

    def ask(
        self, operator: Operator, after: str | int, limit: int, **fields: object
    ) -> tuple[list[Row], bool]:
        """Do as `rows` over a client of its own; raises as `KeyServerClient.call`."""

        async def once() -> tuple[list[Row], bool]:
            async with client_of(operator) as client:
                return await self.rows(client, after, limit, **fields)

        return asyncio.run(once())


def _configured(loaded: Loaded, role: str) -> str | None:
    sections = loaded.settings
    return {
        "operator": sections.admin.credential,
        "sender": sections.sender.credential,
        "device": sections.receiver.credential,
    }[role]
