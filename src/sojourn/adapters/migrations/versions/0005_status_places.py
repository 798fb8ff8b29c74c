"""Which session stands where in which status list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0008"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "status_place",
        sa.Column("list", sa.String(length=64), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name=op.f("fk_status_place_session")),
        sa.PrimaryKeyConstraint("list", "index", name=op.f("pk_status_place")),
    )
    op.create_index(op.f("ix_status_place_session"), "status_place", ["session"])
