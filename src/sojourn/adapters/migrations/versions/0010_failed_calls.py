"""How many calls of a family failed at guarded APIs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column; nothing is known of what was before."""
    op.add_column("account", sa.Column("failed", COUNT, nullable=False, server_default="0"))
