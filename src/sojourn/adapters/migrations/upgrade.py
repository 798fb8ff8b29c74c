"""Bring a database to the newest schema, in the caller's transaction."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

# The last of the chain; a database that has it is ready without asking Alembic.
NEWEST: Final = "0011"
# Nodes that start together migrate one after the other: any number, the same for all of them.
_ADVISORY_LOCK: Final = 7_365_746_117


def upgrade(connection: Connection) -> None:
    """Run every migration that the database lacks."""
    if connection.dialect.name == "postgresql":
        # Importing the chain takes its time, and holds up no commit.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if _current(connection) == NEWEST:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config(connection), "head")


def config(connection: Connection) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return found
