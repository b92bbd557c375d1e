"""Owns `sealcast db`: the database of the key server on this machine, or of all, in one file and back."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.storage.copying import Progress

app = typer.Typer(
    help="The key server's database: show, upgrade, backup, restore.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The key server's state, in place of the configuration's."),
]
Database = Annotated[
    str | None,
    typer.Option("--db", metavar="FILE|URL", help="Its database: a file, or postgresql://USER@HOST/NAME."),
]
KEEP_KEY = "keep master.key of the state directory as well, elsewhere: without it no key in a backup opens"


@app.callback()
def database() -> None:
    """Show, upgrade, back up or restore the key server's database."""


@app.command(epilog=examples("sealcast db show", "sealcast db show --db postgresql://sealcast@db/sealcast"))
def show(context: typer.Context, *, db: Database = None, state: State = None, json: Json = False) -> None:
    """Show which database it is, whether its schema is this program's, and how many rows it holds."""
    from sealcast.cli import output as out
    from sealcast.storage.copying import rows_of
    from sealcast.storage.engine import open_engine
    from sealcast.storage.migrate import latest_revision, revision_of
    from sealcast.storage.postgres import name_of

    engine = open_engine(_existing(_address(context, db, state)))
    with engine.connect() as connection:
        found, latest = revision_of(connection), latest_revision()
        rows = dict(rows_of(connection)) if found is not None else {}
    name, kind = name_of(engine), engine.dialect.name
    engine.dispose()
    if json:
        out.print_json({"database": name, "kind": kind, "schema": found, "newest": latest, "rows": rows})
        return
    if found is None:
        said = "has no tables yet: the key server makes them when it starts"
    elif found == latest:
        said = f"has schema {found}, the newest that this program knows"
    else:
        said = f"has schema {found}, this program {latest}: see sealcast db upgrade"
    out.print_line(f"{name} {said}")
    if rows:
        out.print_table(("TABLE", "ROWS"), [(table, f"{count:,}") for table, count in rows.items()], empty="")


@app.command(
    epilog=examples("sealcast db upgrade", "sealcast db upgrade --backup /var/backups/before.backup --json")
)
def upgrade(
    context: typer.Context,
    *,
    backup: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where its backup goes, in place of the state directory.", show_default=False
        ),
    ] = None,
    db: Database = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Bring the database to this program's schema, after a backup; all its servers are to be stopped.

    A server does so by itself when it starts, but without a backup.
    """
    from sealcast.cli import output as out
    from sealcast.storage import migrate
    from sealcast.storage.backup import back_up
    from sealcast.storage.engine import open_engine
    from sealcast.storage.postgres import name_of

    engine = open_engine(_existing(_address(context, db, state)))
    try:
        found, latest = migrate.current_revision(engine), migrate.latest_revision()
        kept: Path | None = None
        if found in migrate.known_revisions() and found != latest:
            kept = backup or _folder(context, state) / f"keyserver.{found}.backup"
            with _progress("backup") as progress:
                back_up(engine, Path.cwd() / kept, progress)
        migrate.upgrade(engine)
        name = name_of(engine)
    finally:
        engine.dispose()
    if json:
        saved = None if kept is None else str(kept)
        out.print_json({"database": name, "from": found, "schema": latest, "backup": saved})
        return
    if found == latest:
        out.print_line(f"{name} has schema {latest} already")
        return
    if kept is not None:
        out.print_line(f"backup of schema {found}: {kept}")
        out.print_line(KEEP_KEY)
    out.print_line(f"{name} has schema {latest} now")


@app.command(
    epilog=examples(
        "sealcast db backup /var/backups/keys-2026-03-01.backup",
        "sealcast db backup ./keys.backup --db postgresql://sealcast@db/sealcast --json",
    )
)
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes; it must not exist.")],
    *,
    db: Database = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Write all of the database to a file, while its server goes on: one state, whole transactions only.

    The file is SQLite's, also of PostgreSQL, and can be restored into either.
    """
    from sealcast.cli import output as out
    from sealcast.storage.backup import back_up
    from sealcast.storage.engine import open_engine
    from sealcast.storage.postgres import name_of

    engine = open_engine(_existing(_address(context, db, state)))
    try:
        with _progress("backup") as progress:
            made = back_up(engine, Path.cwd() / file, progress)
        name = name_of(engine)
    finally:
        engine.dispose()
    if json:
        sizes = {"rows": made.rows, "size_bytes": made.size_bytes}
        out.print_json({"database": name, "backup": str(made.path), "schema": made.revision, **sizes})
        return
    out.print_line(f"{name} is in {file}: {made.rows:,} rows, schema {made.revision}")
    out.print_line(KEEP_KEY)


@app.command(
    epilog=examples(
        "sealcast db restore /var/backups/keys-2026-03-01.backup",
        "sealcast db restore ./keys.backup --db postgresql://sealcast@db/sealcast",
    )
)
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.", show_default=False)],
    *,
    db: Database = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Put a backup back where no database is yet, and bring it to this program's schema.

    It never writes over anything. What was given since the backup (epochs, numbers of channels) is left out,
    so that nothing is given twice; what was removed since is there again and has to be removed again.
    """
    from sealcast.cli import output as out
    from sealcast.core.ports import NS_PER_MS
    from sealcast.storage.backup import restore as put_back
    from sealcast.storage.migrate import latest_revision
    from sealcast.transport.system import SystemClock

    address = _address(context, db, state)
    wall_ms = SystemClock().wall_ns() // NS_PER_MS
    with _progress("restore") as progress:
        found = put_back(Path.cwd() / file, address, progress, wall_ms=wall_ms)
    if json:
        out.print_json({"backup": str(file), "schema": latest_revision(), "rows": found.rows})
        return
    out.print_line(f"{file} is restored: {found.rows:,} rows of schema {found.revision}")
    out.print_line("its keys open with the master.key that the server had then; remove again what was since")


def _folder(context: typer.Context, state: Path | None) -> Path:
    from sealcast.cli import acting, keyfiles

    return Path.cwd() / (state or keyfiles.state_folder(acting.settings(context)))


def _address(context: typer.Context, db: str | None, state: Path | None) -> Path | str:
    """Return the database that is meant: that of `--db`, of the configuration, or of the state."""
    from sealcast.cli import acting
    from sealcast.cli.roles import database_of
    from sealcast.server.state import DATABASE

    is_named = state is not None or db is not None
    configured = None if is_named else acting.settings(context).settings.keyserver.database
    return database_of(db, configured, None) or _folder(context, state) / DATABASE


def _existing(address: Path | str) -> Path | str:
    """Return `address`; raises UsageError for a file that is not there: none is made."""
    from sealcast.core.errors import UsageError

    if isinstance(address, Path) and not address.is_file():
        raise UsageError(f"there is no database {address}; name another with --db or --state")
    return address


@contextlib.contextmanager
def _progress(what: str) -> Iterator["Progress"]:
    """Give what shows on a terminal how far it is."""
    from sealcast.cli.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
