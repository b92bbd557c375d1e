"""Owns what commands at an escrow have in common: where it is, who asks, an administrator's question."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

if TYPE_CHECKING:
    from sealcast.cli.escrowasking import Asker
    from sealcast.client import KeyServerClient
    from sealcast.messages.escrow import NoticeRow
    from sealcast.messages.operation import Operation

Answer = TypeVar("Answer", bound=msgspec.Struct)
NOTICES_MAX = 100_000
"""Of more, the next command asks for those behind the last."""

At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL", help="Where the escrow is (again for more addresses), in place of the configuration's."
    ),
]
CurrencyCode = Annotated[
    str,
    typer.Argument(metavar="CURRENCY", help="Code of the currency: EUR", show_default=False),
]


def servers_of(context: typer.Context, at: Sequence[str] | None) -> list[str]:
    """Return an escrow's addresses: as given, of [escrow], or where that listens; raises UsageError."""
    from sealcast.cli import acting
    from sealcast.config.schema import check_url, parse_listen
    from sealcast.transport.address import format_place

    if at:
        return [check_url(each) for each in at]
    section = acting.settings(context).settings.escrow
    if section.urls:
        return section.urls
    host, port = parse_listen(section.listen)
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return [f"https://{format_place(reached, port)}"]


@contextmanager
def asker_of(
    context: typer.Context, vault: str | None, socket: str | None = None, *, is_operator: bool = False
) -> "Iterator[Asker]":
    """Give who asks: of `vault`, the device of an agent, or else the administrator of the configuration.

    With `is_operator` it has to be an administrator. Raises UsageError.
    """
    import os

    from sealcast.cli import acting
    from sealcast.cli.escrowasking import asker
    from sealcast.config.places import SOCKET_VARIABLE
    from sealcast.core.errors import UsageError

    is_device = socket is not None or os.environ.get(SOCKET_VARIABLE)
    path = vault
    if path is None and (is_operator or not is_device):
        path = acting.settings(context).settings.admin.credential
    if path is None and is_operator:
        raise UsageError("no operator's credential is given: name it with --credential, or under [admin]")
    with asker(context, path, socket) as who:
        if is_operator and who.credential.role != "operator":
            raise UsageError(f"{path} belongs to a {who.credential.role}; this is an administrator's to say")
        yield who


def ask_as_operator(
    context: typer.Context,
    at: Sequence[str] | None,
    vault: str | None,
    operation: "Operation",
    kind: type[Answer],
    **fields: object,
) -> Answer:
    """Ask an escrow once as an administrator; raises as `KeyServerClient.call`."""
    servers = servers_of(context, at)
    with asker_of(context, vault, is_operator=True) as who:
        return who.ask(servers, lambda client: client.expect(operation, kind, **fields))


async def read_notices(client: "KeyServerClient", after: int) -> "tuple[list[NoticeRow], str]":
    """Return all notices behind a number, and the escrow's certificate; raises as `KeyServerClient.call`."""
    from sealcast.messages.escrow import NoticeList
    from sealcast.messages.operations_escrow import NOTICE_LIST

    found: list[NoticeRow] = []
    while True:
        page = await client.expect(NOTICE_LIST, NoticeList, after=after)
        found += page.notices
        if page.next is None or len(found) >= NOTICES_MAX:
            return found, page.certificate
        after = page.next
