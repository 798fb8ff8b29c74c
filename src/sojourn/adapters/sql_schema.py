"""Every table, once, for SQLite and PostgreSQL.

State tables hold what facts rebuild: the columns that reads need, and `doc`, the whole row in
canonical JSON. The journal, the feed and the head belong to the commit. The rest are working
tables: nothing in them is a fact. Triggers stand in `sql_triggers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sojourn.adapters.sql_types import Count, Identifier, Instant
from sojourn.core import ids
from sojourn.core.record import RowKind

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# -- the order of everything ---------------------------------------------------------------

head: Final = Table(
    "head",
    metadata,
    Column("singleton", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Count, nullable=False),
    Column("journal_size", Count, nullable=False),
    Column("feed_n", Count, nullable=False),
    Column("forgotten_n", Count, nullable=False),  # feed entries up to here may be gone
    Column("place", String(64)),  # the cluster and timeline that its epoch belongs to, if it says
    CheckConstraint("singleton = 1", name="head_is_one_row"),
)

fact: Final = Table(
    "fact",
    metadata,
    Column("index", Count, primary_key=True, autoincrement=False),
    Column("session", Identifier(ids.SESSION)),
    Column("number", Count, nullable=False),  # within the session, from 1; 0 without one
    Column("kind", String(64), nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    UniqueConstraint("session", "number"),
)

revocation: Final = Table(
    "revocation",
    metadata,
    Column("n", Count, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("id", String(128), nullable=False),
    Column("min_generation", Count),  # null: every generation
    Column("keep_until", Instant, nullable=False, index=True),
)

# -- state ---------------------------------------------------------------------------------

session: Final = Table(
    "session",
    metadata,
    Column("id", Identifier(ids.SESSION), primary_key=True),
    Column("version", Count, nullable=False),
    Column("state", String(16), nullable=False),
    Column("client", Identifier(ids.CLIENT), nullable=False, index=True),
    Column("owner", String(128), nullable=False, index=True),
    Column("charter", String(256), nullable=False, index=True),
    Column("task_ref", String(512), nullable=False, index=True),
    Column("depth", Integer, nullable=False),
    Column("reason", String(32)),
    Column("facts", Count, nullable=False),  # how many facts of it are in the journal
    Column("due_at", Instant),
    Column("doc", Text, nullable=False),
    CheckConstraint(
        "state NOT IN ('revoking', 'ended') OR reason IS NOT NULL", name="a_leaving_session_has_a_reason"
    ),
)
Index(
    "ix_session_due_at",
    session.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)
Index(
    "ix_session_living",
    session.c.id,
    sqlite_where=text("state <> 'ended'"),
    postgresql_where=text("state <> 'ended'"),
)

ancestor: Final = Table(
    "ancestor",
    metadata,
    Column("descendant", Identifier(ids.SESSION), nullable=False),
    Column("ancestor", Identifier(ids.SESSION), nullable=False, index=True),
    PrimaryKeyConstraint("descendant", "ancestor"),
    ForeignKeyConstraint(["descendant"], ["session.id"]),
    ForeignKeyConstraint(["ancestor"], ["session.id"]),
)

status_place: Final = Table(
    "status_place",
    metadata,
    Column("list", String(64), nullable=False),
    Column("index", Integer, nullable=False),
    Column("session", Identifier(ids.SESSION), nullable=False, index=True),
    PrimaryKeyConstraint("list", "index"),  # no place is given twice
    ForeignKeyConstraint(["session"], ["session.id"]),
)

# By which facts of its context a session is known to systems that report ends; until it has ended.
identity: Final = Table(
    "identity",
    metadata,
    Column("facts_hash", LargeBinary, nullable=False),
    Column("session", Identifier(ids.SESSION), nullable=False, index=True),
    PrimaryKeyConstraint("facts_hash", "session"),
    ForeignKeyConstraint(["session"], ["session.id"]),
)

lease: Final = Table(
    "lease",
    metadata,
    Column("id", Identifier(ids.LEASE), primary_key=True),
    Column("version", Count, nullable=False),
    Column("state", String(16), nullable=False),
    Column("session", Identifier(ids.SESSION), ForeignKey("session.id"), nullable=False, index=True),
    Column("target", Identifier(ids.TARGET), nullable=False),
    Column("handle", String(128), nullable=False),
    Column("doc", Text, nullable=False),
    UniqueConstraint("handle"),
)
Index(
    "ix_lease_living",
    lease.c.target,
    sqlite_where=text("state <> 'destroyed'"),
    postgresql_where=text("state <> 'destroyed'"),
)

client: Final = Table(
    "client",
    metadata,
    Column("id", Identifier(ids.CLIENT), primary_key=True),
    Column("version", Count, nullable=False),
    Column("name", String(256), nullable=False),
    Column("removed_at", Instant),
    Column("doc", Text, nullable=False),
)
Index(
    "uq_client_name_in_use",
    client.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

charter: Final = Table(
    "charter",
    metadata,
    Column("id", Identifier(ids.CHARTER), primary_key=True),
    Column("version", Count, nullable=False),
    Column("name", String(256), nullable=False),
    Column("number", Count, nullable=False),
    Column("doc", Text, nullable=False),
    UniqueConstraint("name", "number"),
)

policy: Final = Table(
    "policy",
    metadata,
    Column("id", Identifier(ids.POLICY), primary_key=True),
    Column("version", Count, nullable=False),
    Column("number", Count, nullable=False),
    Column("doc", Text, nullable=False),
    UniqueConstraint("number"),
)

review: Final = Table(
    "review",
    metadata,
    Column("id", Identifier(ids.REVIEW), primary_key=True),
    Column("version", Count, nullable=False),
    Column("session", Identifier(ids.SESSION), nullable=False),
    Column("done_at", Instant),
    Column("doc", Text, nullable=False),
    UniqueConstraint("session"),
)
Index(
    "ix_review_owed",
    review.c.id,
    sqlite_where=text("done_at IS NULL"),
    postgresql_where=text("done_at IS NULL"),
)

target: Final = Table(
    "target",
    metadata,
    Column("id", Identifier(ids.TARGET), primary_key=True),
    Column("version", Count, nullable=False),
    Column("name", String(256), nullable=False),
    Column("state", String(16), nullable=False),
    Column("doc", Text, nullable=False),
)
Index(
    "uq_target_name_in_use",
    target.c.name,
    unique=True,
    sqlite_where=text("state <> 'removed'"),
    postgresql_where=text("state <> 'removed'"),
)

kill: Final = Table(
    "kill",
    metadata,
    Column("id", Identifier(ids.KILL), primary_key=True),
    Column("version", Count, nullable=False),
    Column("state", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(512), nullable=False, index=True),
    Column("n", Count, index=True),  # its number in the feed; null between two commits
    Column("doc", Text, nullable=False),
)

approval: Final = Table(
    "approval",
    metadata,
    Column("id", Identifier(ids.APPROVAL), primary_key=True),
    Column("version", Count, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("subject", String(512), nullable=False, index=True),
    Column("doc", Text, nullable=False),
)

trigger: Final = Table(
    "trigger",
    metadata,
    Column("id", Identifier(ids.TRIGGER), primary_key=True),
    Column("version", Count, nullable=False),
    Column("name", String(256), nullable=False),
    Column("removed_at", Instant),
    Column("doc", Text, nullable=False),
)
Index(
    "uq_trigger_name_in_use",
    trigger.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

hook: Final = Table(
    "hook",
    metadata,
    Column("id", Identifier(ids.HOOK), primary_key=True),
    Column("version", Count, nullable=False),
    Column("name", String(256), nullable=False),
    Column("removed_at", Instant),
    Column("doc", Text, nullable=False),
)
Index(
    "uq_hook_name_in_use",
    hook.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

signing_key: Final = Table(
    "signing_key",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", Count, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("doc", Text, nullable=False),
)
# Of each purpose one key signs and one is next: two nodes that rotate at once cannot both land.
Index(
    "uq_signing_key_in_use",
    signing_key.c.purpose,
    signing_key.c.state,
    unique=True,
    sqlite_where=text("state IN ('next', 'active')"),
    postgresql_where=text("state IN ('next', 'active')"),
)


def _moves(name: str) -> Table:
    """What may follow what, filled from the core's tables; triggers refuse every other move."""
    state, following = (Column(which, String(16), nullable=False) for which in ("state", "next"))
    return Table(name, metadata, state, following, PrimaryKeyConstraint("state", "next"))


session_next: Final = _moves("session_next")
lease_next: Final = _moves("lease_next")

# -- working tables ------------------------------------------------------------------------

errand: Final = Table(
    "errand",
    metadata,
    Column("id", Identifier(ids.ERRAND), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("lease", Identifier(ids.LEASE), nullable=False),
    Column("session", Identifier(ids.SESSION), nullable=False),
    Column("target", Identifier(ids.TARGET), nullable=False),
    Column("run_at", Instant, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("held_by", String(128)),
    Column("held_until", Instant),
    Column("error", Text),
)

mark: Final = Table(
    "mark",
    metadata,
    Column("key_hash", LargeBinary, primary_key=True),  # of kind and key
    Column("kind", String(32), nullable=False),
    Column("value", Text, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

_NAME: Final = Column("name", String(256), primary_key=True)
sealed: Final = Table("sealed", metadata, _NAME, Column("ciphertext", LargeBinary, nullable=False))

beat: Final = Table(
    "beat",
    metadata,
    Column("session", Identifier(ids.SESSION), primary_key=True),
    Column("last", Instant, nullable=False),
    Column("missed_at", Instant, index=True),
)

# Since a restore: nothing is destroyed in the one, no tokens are given to the other.
reconciling: Final = Table(
    "reconciling",
    metadata,
    Column("target", Identifier(ids.TARGET), primary_key=True),
    Column("epoch", Count, nullable=False),
)
restored: Final = Table("restored", metadata, Column("session", Identifier(ids.SESSION), primary_key=True))

# -- what is built from the journal --------------------------------------------------------

tile: Final = Table(
    "tile",
    metadata,
    Column("level", Integer, nullable=False),
    Column("index", Count, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "index"),
)

_SIZE: Final = Column("size", Count, primary_key=True, autoincrement=False)
checkpoint: Final = Table("checkpoint", metadata, _SIZE, Column("note", Text, nullable=False))

STATE_TABLES: Final[Mapping[RowKind, Table]] = {
    RowKind.CLIENT: client,
    RowKind.CHARTER: charter,
    RowKind.TARGET: target,
    RowKind.POLICY: policy,
    RowKind.REVIEW: review,
    RowKind.SESSION: session,
    RowKind.LEASE: lease,
    RowKind.KILL: kill,
    RowKind.APPROVAL: approval,
    RowKind.TRIGGER: trigger,
    RowKind.KEY: signing_key,
    RowKind.HOOK: hook,
}
