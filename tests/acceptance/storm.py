"""Many credentials that are due to be destroyed at the moment a server starts.

The rows are written as the services would have written them, straight into the database of a
server that is down; the roles are made in the target in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sojourn.adapters.opened_store import open_sqlite
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.core import session as sessions
from sojourn.core.change import Change, ErrandKind
from sojourn.core.ending import Cause, Reason
from sojourn.core.ids import LEASE, SESSION, LeaseId, SessionId, from_uuid
from sojourn.core.lease import begin_destroy, plan
from sojourn.core.scope import Grants, TargetGrant
from sojourn.core.target import Target
from sojourn.core.window import Window
from sojourn.services._errands import new_errand
from tests.rig.store import a_lease, a_session
from tests.rig.system import System

_IN_FLIGHT = 256
_CAUSE = Cause(Reason.KILLED, "storm")
_ROLES = """
SET ROLE "{admin}";
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY[{names}] LOOP
    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD NULL', name);
    EXECUTE format('COMMENT ON ROLE %I IS %L', name, 'sojourn:' || name || ':2026-11-25T00:00:00Z');
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
  END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What is due in one target: the sessions, and the handles that were made there."""

    target: str
    sessions: tuple[str, ...]
    handles: tuple[str, ...]


def prefix_of(system: System) -> str:
    """How handles of this system begin."""
    return f"sj_{(system.place / 'state' / 'deployment').read_text().strip()}_"


def write_due(system: System, counts: dict[str, int]) -> list[Due]:
    """Record `counts[target]` destructions in each target; the server must be down."""
    return asyncio.run(_write(system, counts))


async def _write(system: System, counts: dict[str, int]) -> list[Due]:
    store = await open_sqlite(system.place / "state" / "sojourn.sqlite3")
    try:
        found = []
        for name, count in counts.items():
            target = await store.target_named(name)
            assert target is not None
            found.append(await _write_of(store, target, prefix_of(system), count))
        return found
    finally:
        await store.close()


async def _write_of(store: SqlStore, target: Target, prefix: str, count: int) -> Due:
    made = [_due(target, prefix) for _ in range(count)]
    waiting = iter(made)

    async def write() -> None:
        for _, _, change in waiting:
            await store.commit(change)

    await asyncio.gather(*(write() for _ in range(_IN_FLIGHT)))
    return Due(target.name, tuple(s for s, _, _ in made), tuple(h for _, h, _ in made))


def _due(target: Target, prefix: str) -> tuple[str, str, Change]:
    """A session on its way out and its one lease, with the errand to destroy it."""
    entropy, now = SystemEntropy(), SystemClock().now()
    began = now - timedelta(minutes=5)
    window = Window(began, now + timedelta(minutes=30))
    lease_id = from_uuid(LEASE, entropy.uuid7())
    asked = a_session(
        id=SessionId(from_uuid(SESSION, entropy.uuid7())),
        grants=Grants((TargetGrant("books-writer", target.name, "writer"),)),
        window=window,
        last_end=window.closes,
        activate_by=began + timedelta(minutes=1),
        requested_at=began,
    )
    step = sessions.request(asked)
    step = step.then(sessions.approve(step.row, "demo@1", began))
    step = step.then(sessions.prepare(step.row, began))
    step = step.then(sessions.activate(step.row, began))
    step = step.then(sessions.begin_end(step.row, _CAUSE, now))
    lease = replace(
        a_lease(1, step.row),
        id=LeaseId(lease_id),
        target=target.id,
        target_name=target.name,
        grant="books-writer",
        template="writer",
        handle=prefix + lease_id.removeprefix(f"{LEASE}_"),
        issue_by=began + timedelta(seconds=3),
        expires_at=window.closes,
    )
    leased = plan(lease, began)
    # No OID is known, as after a crash right behind the issue: it is looked up by the handle.
    leased = leased.then(begin_destroy(leased.row, now))
    errand = new_errand(ErrandKind.DESTROY, leased.row, entropy, now)
    return step.row.id, lease.handle, Change(steps=(step, leased), errands=(errand,))


def make_roles(system: System, admin: str, handles: Sequence[str]) -> None:
    """Make the roles in the target as its admin would, marked as ours."""
    for first in range(0, len(handles), 500):
        names = ", ".join(f"'{handle}'" for handle in handles[first : first + 500])
        system.postgres.sql(_ROLES.format(names=names, admin=admin), system.database)
