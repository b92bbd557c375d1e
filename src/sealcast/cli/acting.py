"""Owns what commands do alike: read the settings, begin the log, open a vault, ask the key server.

Imported by commands when they run, not for their help.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

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

HOW_TO_GET = {
    "operator": "make one with: sealcast init",
    "sender": "make one with: sealcast registry add NAME --role sender --output NAME.vault",
    "device": "get one with: sealcast enrol, or on the operator's machine with: sealcast registry add",
}
ARTICLE_OF = {"operator": "an", "sender": "a", "device": "a", "replica": "a"}
PAGES_MAX = 10_000
"""Pages of one list: millions of rows. A server that went round in circles would be asked for ever."""

SECTION_OF = {"operator": "admin", "sender": "sender", "device": "receiver"}


def settings(context: typer.Context) -> Loaded:
    """Read the configuration and send the log where it says; raises UsageError."""
    given = given_of(context)
    loaded = load(Path(given.config) if given.config else None, os.environ)
    logging = loaded.settings.logging
    logs.set_up(logging.level, logging.format, louder=given.louder)
    return loaded


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


def ask(operator: Operator, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
    """Ask the key server once; raises as `KeyServerClient.call`."""

    async def once() -> Answer:
        async with KeyServerClient(
            operator.credential, SystemRandom(), operator.keep, operator.keys
        ) as client:
            return await client.expect(operation, kind, **fields)

    return asyncio.run(once())


def ask_for_subscribers(operator: Operator, channel: str | None) -> list[SubscriberRow]:
    """Return all subscribers, or those of one channel, page by page; raises as `KeyServerClient.call`."""

    async def all_pages() -> list[SubscriberRow]:
        found: list[SubscriberRow] = []
        after = ""
        async with KeyServerClient(
            operator.credential, SystemRandom(), operator.keep, operator.keys
        ) as client:
            for _ in range(PAGES_MAX):
                fields = {"channel": channel, "after": after}
                page = await client.expect(operations.SUBSCRIBER_LIST, SubscriberList, **fields)
                found += page.subscribers
                if page.next is None:
                    break
                after = page.next
        return found

    return asyncio.run(all_pages())


def _configured(loaded: Loaded, role: str) -> str | None:
    sections = loaded.settings
    return {
        "operator": sections.admin.credential,
        "sender": sections.sender.credential,
        "device": sections.receiver.credential,
    }[role]
