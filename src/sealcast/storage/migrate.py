"""Owns bringing a database to this program's schema: packaged Alembic migrations, run at each start."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from sealcast.core.errors import UsageError

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(engine: sa.Engine) -> str:
    """Bring the database up to date and return its schema's revision.

    Raises UsageError if the schema is newer than this program, or if the tables are not ours.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    head = scripts.get_current_head()
    found = current_revision(engine)
    if found is not None and found not in known:
        raise UsageError(
            f"{engine.url.database} has schema {found}, newer than this program's {head}: install the "
            "Sealcast that wrote it, or a later one"
        )
    if found != head:
        with engine.begin() as connection:
            if found is None and sa.inspect(connection).get_table_names():
                raise UsageError(f"{engine.url.database} belongs to another program; choose another file")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return head or ""


def current_revision(engine: sa.Engine) -> str | None:
    """Return the revision of the database's schema, None if it has none yet."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
