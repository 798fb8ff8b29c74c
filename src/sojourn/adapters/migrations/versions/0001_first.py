"""The first schema: journal, state, working tables, and the triggers that guard them.

A migration states what it makes in its own words: it must do the same years from now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sojourn.adapters.sql_triggers import statements

revision = "0001"
down_revision = None

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SESSION_MOVES = (
    ("requested", "approved"),
    ("requested", "ended"),
    ("approved", "active"),
    ("approved", "revoking"),
    ("active", "suspended"),
    ("active", "revoking"),
    ("suspended", "active"),
    ("suspended", "revoking"),
    ("revoking", "ended"),
)
LEASE_MOVES = (
    ("planned", "issued"),
    ("planned", "destroying"),
    ("issued", "frozen"),
    ("issued", "destroying"),
    ("frozen", "issued"),
    ("frozen", "destroying"),
    ("destroying", "destroyed"),
)


def upgrade() -> None:
    """Make everything."""
    _journal()
    _sessions()
    _others()
    _moves()
    _work()
    _log()
    for statement in statements(op.get_context().dialect.name):
        op.execute(statement)


def _journal() -> None:
    op.create_table(
        "head",
        sa.Column("singleton", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", COUNT, nullable=False),
        sa.Column("journal_size", COUNT, nullable=False),
        sa.Column("feed_n", COUNT, nullable=False),
        sa.Column("forgotten_n", COUNT, nullable=False),
        sa.CheckConstraint("singleton = 1", name=op.f("head_is_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_head")),
    )
    op.create_table(
        "fact",
        sa.Column("index", COUNT, autoincrement=False, nullable=False),
        sa.Column("session", sa.Uuid(), nullable=True),
        sa.Column("number", COUNT, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_fact")),
        sa.UniqueConstraint("session", "number", name=op.f("uq_fact_session_number")),
    )
    op.create_table(
        "revocation",
        sa.Column("n", COUNT, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("min_generation", COUNT, nullable=True),
        sa.Column("keep_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_revocation")),
    )
    op.create_index(op.f("ix_revocation_keep_until"), "revocation", ["keep_until"], unique=False)
    op.execute(
        "INSERT INTO head (singleton, epoch, journal_size, feed_n, forgotten_n) VALUES (1, 1, 0, 0, 0)"
    )


def _sessions() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("client", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("charter", sa.String(length=256), nullable=False),
        sa.Column("task_ref", sa.String(length=512), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("facts", COUNT, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state NOT IN ('revoking', 'ended') OR reason IS NOT NULL",
            name=op.f("a_leaving_session_has_a_reason"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_charter"), "session", ["charter"], unique=False)
    op.create_index(op.f("ix_session_client"), "session", ["client"], unique=False)
    op.create_index(
        "ix_session_due_at",
        "session",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_session_living",
        "session",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_index(op.f("ix_session_owner"), "session", ["owner"], unique=False)
    op.create_index(op.f("ix_session_task_ref"), "session", ["task_ref"], unique=False)
    op.create_table(
        "ancestor",
        sa.Column("descendant", sa.Uuid(), nullable=False),
        sa.Column("ancestor", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["ancestor"], ["session.id"], name=op.f("fk_ancestor_ancestor")),
        sa.ForeignKeyConstraint(["descendant"], ["session.id"], name=op.f("fk_ancestor_descendant")),
        sa.PrimaryKeyConstraint("descendant", "ancestor", name=op.f("pk_ancestor")),
    )
    op.create_index(op.f("ix_ancestor_ancestor"), "ancestor", ["ancestor"], unique=False)
    op.create_table(
        "lease",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("handle", sa.String(length=128), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name=op.f("fk_lease_session")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
        sa.UniqueConstraint("handle", name=op.f("uq_lease_handle")),
    )
    op.create_index(
        "ix_lease_living",
        "lease",
        ["target"],
        unique=False,
        sqlite_where=sa.text("state <> 'destroyed'"),
        postgresql_where=sa.text("state <> 'destroyed'"),
    )
    op.create_index(op.f("ix_lease_session"), "lease", ["session"], unique=False)


def _others() -> None:
    op.create_table(
        "client",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_index(
        "uq_client_name_in_use",
        "client",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "charter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("number", COUNT, nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charter")),
        sa.UniqueConstraint("name", "number", name=op.f("uq_charter_name_number")),
    )
    op.create_table(
        "target",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target")),
    )
    op.create_index(
        "uq_target_name_in_use",
        "target",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state <> 'removed'"),
        postgresql_where=sa.text("state <> 'removed'"),
    )


def _moves() -> None:
    op.create_table(
        "session_next",
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("next", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("state", "next", name=op.f("pk_session_next")),
    )
    op.create_table(
        "lease_next",
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("next", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("state", "next", name=op.f("pk_lease_next")),
    )
    _list("session_next", SESSION_MOVES)
    _list("lease_next", LEASE_MOVES)


def _work() -> None:
    op.create_table(
        "errand",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=False),
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("held_by", sa.String(length=128), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errand")),
    )
    op.create_index(op.f("ix_errand_run_at"), "errand", ["run_at"], unique=False)
    op.create_table(
        "mark",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_mark")),
    )
    op.create_index(op.f("ix_mark_expires_at"), "mark", ["expires_at"], unique=False)
    op.create_table(
        "sealed",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sealed")),
    )
    op.create_table(
        "beat",
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("missed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_beat")),
    )
    op.create_index(op.f("ix_beat_missed_at"), "beat", ["missed_at"], unique=False)


def _log() -> None:
    op.create_table(
        "tile",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("index", COUNT, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "index", name=op.f("pk_tile")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", COUNT, autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoint")),
    )


def _list(name: str, moves: tuple[tuple[str, str], ...]) -> None:
    table = sa.table(name, sa.column("state", sa.String), sa.column("next", sa.String))
    op.bulk_insert(table, [{"state": state, "next": following} for state, following in moves])
