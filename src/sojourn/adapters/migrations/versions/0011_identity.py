"""By which facts of its context a session is known to systems that report ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

# As `core.trigger` has them at this revision, each in the order in which they are spelled.
IDENTIFYING = (
    ("github.repository_id", "github.run_attempt", "github.run_id"),
    ("github.check_run_id", "github.repository_id"),
    ("gitlab.job_id", "gitlab.project_id"),
    ("gitlab.pipeline_id", "gitlab.project_id"),
    ("kubernetes.pod_uid",),
    ("kubernetes.job_uid",),
)
SESSION = sa.table("session", sa.column("id", sa.Uuid()), sa.column("state"), sa.column("doc"))


def upgrade() -> None:
    """Add the table, and what is known of sessions that have not ended."""
    table = op.create_table(
        "identity",
        sa.Column("facts_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name=op.f("fk_identity_session")),
        sa.PrimaryKeyConstraint("facts_hash", "session", name=op.f("pk_identity")),
    )
    op.create_index(op.f("ix_identity_session"), "identity", ["session"])
    living = sa.select(SESSION.c.id, SESSION.c.doc).where(SESSION.c.state != "ended")
    for session, doc in op.get_bind().execute(living).all():
        rows = [{"facts_hash": facts, "session": session} for facts in _known_by(json.loads(doc)["context"])]
        if rows:
            op.bulk_insert(table, rows)


def _known_by(context: Mapping[str, str]) -> Iterator[bytes]:
    for names in IDENTIFYING:
        if all(name in context for name in names):
            facts = "\x1f".join(f"{name}={context[name]}" for name in names)
            yield hashlib.sha256(f"identity\x00{facts}".encode()).digest()
