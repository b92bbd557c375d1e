"""Owns the triggers that refuse what a table may not undergo, in the words of each database."""

from alembic import op

ON_SQLITE = """
CREATE TRIGGER {name} {moment} ON {table}{when}
BEGIN
    SELECT RAISE(ABORT, '{message}');
END
"""
ON_POSTGRESQL = """
CREATE FUNCTION {name}() RETURNS trigger AS $$
BEGIN
    IF {condition} THEN
        RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER {name} {moment} ON {table} FOR EACH {each} EXECUTE FUNCTION {name}()
"""


def refuse(name: str, moment: str, table: str, message: str, condition: str = "") -> None:
    """Make the trigger `name` that refuses a moment ("BEFORE UPDATE") on `table`, where `condition` holds."""
    if op.get_bind().dialect.name == "postgresql":
        each = "STATEMENT" if moment.endswith("TRUNCATE") else "ROW"
        values = {"condition": condition or "true", "each": each}
        op.execute(ON_POSTGRESQL.format(name=name, moment=moment, table=table, message=message, **values))
    else:
        when = f" WHEN {condition}" if condition else ""
        op.execute(ON_SQLITE.format(name=name, moment=moment, table=table, message=message, when=when))


def keep_rows(table: str, message: str) -> None:
    """Refuse to change or drop any row of `table`."""
    for verb in ("UPDATE", "DELETE"):
        refuse(f"{table}_no_{verb}", f"BEFORE {verb}", table, message)
    if op.get_bind().dialect.name == "postgresql":
        refuse(f"{table}_no_TRUNCATE", "BEFORE TRUNCATE", table, message)
