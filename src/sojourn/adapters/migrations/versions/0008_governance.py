"""Kill orders by selector, requests for approval, accounts of use, and triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "kill",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        sa.Column("n", COUNT, nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kill")),
    )
    op.create_index(op.f("ix_kill_n"), "kill", ["n"])
    op.create_index(op.f("ix_kill_subject"), "kill", ["subject"])
    op.create_table(
        "approval",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
    )
    op.create_index(op.f("ix_approval_state"), "approval", ["state"])
    op.create_index(op.f("ix_approval_subject"), "approval", ["subject"])
    op.create_table(
        "account",
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("calls", COUNT, nullable=False),
        sa.Column("rows", COUNT, nullable=False),
        sa.Column("bytes", COUNT, nullable=False),
        sa.Column("cost", COUNT, nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_account")),
    )
    op.create_table(
        "chunk",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("calls", COUNT, nullable=False),
        sa.Column("rows", COUNT, nullable=False),
        sa.Column("bytes", COUNT, nullable=False),
        sa.Column("cost", COUNT, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunk")),
    )
    op.create_index(op.f("ix_chunk_account"), "chunk", ["account"])
    op.create_index(op.f("ix_chunk_expires_at"), "chunk", ["expires_at"])
    op.create_table(
        "exercised",
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        sa.Column("uses", COUNT, nullable=False),
        sa.PrimaryKeyConstraint("session", "subject", name=op.f("pk_exercised")),
    )
    op.create_table(
        "trigger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trigger")),
    )
    op.create_index(
        "uq_trigger_name_in_use",
        "trigger",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
