"""Owns databases as an older program left them, for tests of the migrations since."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from sealcast.storage.migrate import SCRIPTS


def make_schema(connection: sa.Connection, revision: str) -> None:
    """Give an empty database the schema of a revision, in the transaction under way."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
