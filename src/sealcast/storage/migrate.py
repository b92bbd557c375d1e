"""Owns bringing a database to this program's schema: packaged Alembic migrations, run at each start."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from sealcast.core.errors import UsageError
from sealcast.storage.postgres import first_line, name_of

SCRIPTS = Path(__file__).parent / "migrations"

UPGRADE_LOCK = 0x5EA1CA57
"""The number of PostgreSQL's advisory lock that upgrades hold: any that no other program takes."""

UPGRADE_TIMEOUT_MS = 600_000
"""How long to wait for another server's upgrade: one of a large database takes minutes."""


def upgrade(engine: sa.Engine) -> str:
    """Bring the database up to date and return its schema's revision.

    Raises UsageError if the schema is newer than this program, if the tables are not ours, or if we may not
    make any.
    """
    head, found = latest_revision(), current_revision(engine)
    if found is not None and found not in known_revisions():
        raise UsageError(
            f"{name_of(engine)} has schema {found}, newer than this program's {head}: install the "
            "Sealcast that wrote it, or a later one"
        )
    if found != head:
        try:
            with engine.begin() as connection:
                _wait_for_others(connection)
                bring_to(connection, "head")
        except sa.exc.DBAPIError as error:
            raise UsageError(f"cannot upgrade {name_of(engine)}: {first_line(error.orig)}") from error
    return head


def bring_to(connection: sa.Connection, revision: str) -> None:
    """Bring the database to a revision in the caller's transaction; UsageError if its tables are not ours."""
    if revision_of(connection) is None and sa.inspect(connection).get_table_names():
        raise UsageError(f"{name_of(connection.engine)} belongs to another program; choose another")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def current_revision(engine: sa.Engine) -> str | None:
    """Return the revision of the database's schema, None if it has none yet."""
    with engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of the database's schema as this connection sees it, None if it has none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def known_revisions() -> set[str]:
    """Return the revisions of this program's schema and of those before."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def latest_revision() -> str:
    """Return the revision of this program's schema."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _wait_for_others(connection: sa.Connection) -> None:
    """Have servers that start together upgrade one after the other; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {UPGRADE_TIMEOUT_MS}")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
