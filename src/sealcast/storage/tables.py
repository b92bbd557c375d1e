"""Owns the one collection of tables; each feature adds its own in its own file.

Instants are milliseconds since 1970-01-01 UTC by the key server's wall clock, and end in `_at_ms`.
"""

import sqlalchemy as sa

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, so that a later migration can change it."""

metadata = sa.MetaData(naming_convention=NAMES)
