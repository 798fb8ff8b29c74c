"""Which sessions were on record when the database was put back, and wait to be looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "restored",
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_restored")),
    )
