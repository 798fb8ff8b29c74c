"""The working tables of use: accounts, chunks that guards hold, and what was exercised."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, PrimaryKeyConstraint, String, Table, text

from sojourn.adapters.sql_schema import metadata
from sojourn.adapters.sql_types import Count, Identifier, Instant
from sojourn.core import ids

# How much the family of a root session has used; chunks are parts that guards hold.
account: Final = Table(
    "account",
    metadata,
    Column("session", Identifier(ids.SESSION), primary_key=True),
    Column("calls", Count, nullable=False),
    Column("rows", Count, nullable=False),
    Column("bytes", Count, nullable=False),
    Column("cost", Count, nullable=False),
    Column("failed", Count, nullable=False, server_default=text("0")),
    Column("used_at", Instant),
)
chunk: Final = Table(
    "chunk",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account", Identifier(ids.SESSION), nullable=False, index=True),
    Column("holder", String(64), nullable=False),
    Column("calls", Count, nullable=False),
    Column("rows", Count, nullable=False),
    Column("bytes", Count, nullable=False),
    Column("cost", Count, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)
exercised: Final = Table(
    "exercised",
    metadata,
    Column("session", Identifier(ids.SESSION), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("uses", Count, nullable=False),
    PrimaryKeyConstraint("session", "subject"),
)
