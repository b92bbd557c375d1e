"""Owns how Alembic runs here: over the connection that `sealcast.storage.migrate` hands in."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transactional_ddl=True, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
