"""Where the database is served, and which targets wait to be reconciled after a restore."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both."""
    op.add_column("head", sa.Column("place", sa.String(length=64), nullable=True))
    op.create_table(
        "reconciling",
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("epoch", COUNT, nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_reconciling")),
    )
