"""What Alembic runs for each command: on the connection that the caller holds, and no other."""

from __future__ import annotations

from alembic import context

from sojourn.adapters.sql_schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
