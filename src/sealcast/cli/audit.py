"""Owns `sealcast audit`: the log of who did what to whom, for people and for programs."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.cli.acting import Operator
    from sealcast.messages.auditing import AuditLogRow

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

LISTED_DEFAULT = 100
FOLLOW_S = 2.0


@app.command(
    epilog=examples(
        "sealcast audit",
        "sealcast audit --what subscriber- --since 2026-03-01 --limit 1000",
        "sealcast audit --subject tv-1 --json",
        "sealcast audit --follow",
    )
)
def audit(
    context: typer.Context,
    *,
    who: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what this party did.", show_default=False)
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only deeds whose name begins so.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="Only what was done to this party or channel.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="From then on.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Before then.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The last so many.")] = LISTED_DEFAULT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is done from now.")] = False,
    json: Json = False,
) -> None:
    """Show who did what to whom, and when; the oldest of them first.

    Each deed is on record together with its effect, or neither is; the database refuses any change of the
    log. With --json each row is one line.
    """
    from sealcast.cli import acting
    from sealcast.cli.instants import parse_instant

    fields: dict[str, object] = {
        "who": who,
        "what": what,
        "subject": subject,
        "since_ms": parse_instant(since) if since is not None else None,
        "until_ms": parse_instant(until) if until is not None else None,
    }
    operator = acting.operator(context)
    asyncio.run(_show(operator, fields, limit, is_followed=follow, is_json=json))


async def _show(
    operator: "Operator", fields: dict[str, object], limit: int, *, is_followed: bool, is_json: bool
) -> None:
    """Print the last rows, and with `is_followed` those that come, until interrupted."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.auditing import AUDIT_PAGE_MAX, AuditList

    async with acting.client_of(operator) as client:
        rows: list[AuditLogRow] = []
        before: int | None = None
        while len(rows) < limit:
            count = min(limit - len(rows), AUDIT_PAGE_MAX)
            page = await client.expect(operations.AUDIT_LIST, AuditList, **fields, before=before, limit=count)
            rows += page.rows
            if not page.more or not page.rows:
                break
            before = page.rows[-1].number
        _print(rows[::-1], is_json=is_json)
        if not rows and not is_followed and not is_json:
            output.print_line("nothing of that is in the log", to_stderr=True)
        after = rows[0].number if rows else 0
        while is_followed:
            page = await client.expect(operations.AUDIT_LIST, AuditList, **fields, after=after)
            _print(page.rows, is_json=is_json)
            after = page.rows[-1].number if page.rows else after
            if not page.more:
                await asyncio.sleep(FOLLOW_S)


def _print(rows: "list[AuditLogRow]", *, is_json: bool) -> None:
    """Print rows, each on its line, at once."""
    import sys

    from sealcast.cli import output
    from sealcast.messages.encoding import encode

    for row in rows:
        line = encode(row).decode() if is_json else f"{row.at}  {row.who:<16} {row.what:<20} {row.subject}"
        output.print_line(line)
    sys.stdout.flush()
