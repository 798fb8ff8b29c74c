"""A database that was put back: nothing old is believed, and nothing is destroyed unasked."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from sojourn.adapters.high_water import HighWater
from sojourn.adapters.opened_store import open_postgres
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock
from sojourn.config import Settings
from sojourn.core import lease, session, target
from sojourn.core.change import Change, Errand, ErrandKind, Revocation, RevocationKind
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Unavailable
from sojourn.core.lease import LeaseState
from sojourn.core.secret import Secret
from sojourn.core.session import State
from sojourn.core.target import TargetState
from sojourn.ports.provider import Intent
from sojourn.services._kept import KeptSecrets
from sojourn.services.reap_leases import ReapLeases
from sojourn.services.reconcile_target import ReconcileTarget
from sojourn.testing.fakes import FakeProviders, FakeTarget, OpenSealer
from tests.rig.postgres import PostgresServer
from tests.rig.store import SECOND, START, Place, a_lease, a_session, a_target, an_errand_id

pytestmark = pytest.mark.anyio
KILLED = Cause(Reason.KILLED, "ops", "")
SETTINGS = Settings("https://sojourn.example", "dev0")
FAR = datetime(2100, 1, 1, tzinfo=UTC)


class Shop:
    """One target behind a store that is opened, closed, copied and put back."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.high_water = HighWater(folder / "high-water")
        self.there = FakeTarget(SystemClock())
        self.providers = FakeProviders({"shop-db": self.there})
        self.handle = SETTINGS.handle_prefix + a_lease(1, a_session(1)).id.removeprefix("lea_")

    async def open(self) -> SqlStore:
        return await self.place.open(high_water=self.high_water)

    async def back_up(self) -> None:
        if self.place.path is not None:
            shutil.copy(self.place.path, self.folder / "backup")
            return
        await self._copy(self._name, self._name + "_backup")

    async def put_back(self) -> None:
        if self.place.path is not None:
            for left in self.place.path.parent.glob(self.place.path.name + "-*"):
                left.unlink()
            shutil.copy(self.folder / "backup", self.place.path)
            return
        await self._copy(self._name + "_backup", self._name)

    @property
    def _name(self) -> str:
        return "store_" + self.place.dsn.rpartition("/store_")[2].partition("?")[0]

    async def _copy(self, source: str, copy: str) -> None:
        connection = await asyncpg.connect(self.place.dsn.replace(f"/{self._name}?", "/postgres?"))
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{copy}"')
            await connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{source}"')
        finally:
            await connection.close()

    async def fill(self, store: SqlStore) -> None:
        """A target, and an active session with one credential in it."""
        added = target.add(replace(a_target(), state=TargetState.READY))
        await store.commit(Change(steps=(added,)))
        step = session.request(a_session(1))
        step = step.then(session.approve(step.row, "charter", START))
        step = step.then(session.prepare(step.row, START + SECOND))
        planned = lease.plan(replace(a_lease(1, step.row), handle=self.handle), START + SECOND)
        await store.commit(Change(steps=(step, planned)))
        made = await self.there.issue(Intent(self.handle, {}, FAR, FAR))
        known = lease.issued(planned.row, made.target_id, START + SECOND)
        await store.commit(Change(steps=(session.activate(step.row, START + SECOND), known)))

    async def kill(self, store: SqlStore) -> None:
        """End the session: an entry in the feed, and an errand."""
        now = START + 2 * SECOND
        found = await store.session(a_session(1).id)
        held = await store.lease(a_lease(1, a_session(1)).id)
        assert found is not None and held is not None
        ended = session.begin_end(found, KILLED, now)
        doomed = lease.begin_destroy(held, now)
        errand = Errand(an_errand_id(1), ErrandKind.DESTROY, held.id, found.id, held.target, now, 0)
        over = Revocation(RevocationKind.SESSION, found.id, None, FAR)
        await store.commit(Change(steps=(ended, doomed), errands=(errand,), revocations=(over,)))

    async def seal(self, store: SqlStore) -> None:
        size = (await store.head()).journal_size
        await store.seal(size, {}, f"note of {size}")

    def reaper(self, store: SqlStore) -> ReapLeases:
        kept = KeptSecrets(store, OpenSealer())
        return ReapLeases(store, SystemClock(), self.providers, SETTINGS, holder="me", kept=kept)

    def reconcile(self, store: SqlStore) -> ReconcileTarget:
        return ReconcileTarget(store, self.providers, SETTINGS)


@pytest.fixture
def shop(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(place, tmp_path_factory.mktemp("beside"))


async def test_a_restore_destroys_nothing_until_it_is_told_to(shop: Shop) -> None:
    store = await shop.open()
    await shop.fill(store)
    await store.close()
    await shop.back_up()
    store = await shop.open()
    await shop.kill(store)
    await shop.seal(store)
    newer = SETTINGS.handle_prefix + a_lease(2, a_session(2)).id.removeprefix("lea_")
    await shop.there.issue(Intent(newer, {}, FAR, FAR))
    await store.close()
    await shop.put_back()

    store = await shop.open()
    again = await store.session(a_session(1).id)
    epoch, waiting = (await store.head()).epoch, await store.reconciling()
    waits = await store.restored(limit=9)
    await shop.kill(store)
    page = await store.feed(None, limit=10)
    claimed = await shop.reaper(store).run_once()
    seen = await shop.reconcile(store)("shop-db")

    assert again is not None and again.state is State.ACTIVE
    assert epoch == 2 and waiting == {a_target().id}
    assert waits == [a_session(1).id] and not await store.restored(limit=9)  # the kill settled it
    assert [entry.id for entry in page.entries] == [a_session(1).id] and page.mark.epoch == 2
    assert claimed == 0 and await store.next_errand_at() is None
    assert (seen.waiting, seen.due, [one.handle for one in seen.unknown]) == (True, (shop.handle,), [newer])
    assert len(shop.there.living()) == 2
    await store.close()

    store = await shop.open()
    assert await store.reconciling() == {a_target().id}
    told = await shop.reconcile(store).apply("shop-db", destroy_unknown=True)
    await shop.reaper(store).run_once()
    held = await store.lease(a_lease(1, a_session(1)).id)

    assert [(one.handle, one.presence.value) for one in told.destroyed] == [(newer, "absent")]
    assert held is not None and held.state is LeaseState.DESTROYED
    assert not shop.there.living() and not await store.reconciling()
    await store.close()


async def test_sessions_that_came_back_wait_for_a_word_though_no_target_does(shop: Shop) -> None:
    store = await shop.open()
    one, left = session.request(a_session(1)), session.request(a_session(2))
    left = left.then(session.begin_end(left.row, KILLED, START))
    await store.commit(Change(steps=(one, left)))
    await store.close()
    await shop.back_up()
    store = await shop.open()
    await store.commit(Change(steps=(session.request(a_session(3)),)))
    await shop.seal(store)
    await store.close()
    await shop.put_back()

    store = await shop.open()
    await store.commit(Change(steps=(session.request(a_session(4)),)))
    listed = await store.restored(limit=9)
    waits = [await store.is_restored(a_session(number).id) for number in (1, 4)]
    await store.close()
    store = await shop.open()
    again = await store.restored(limit=9)
    await store.sessions_reconciled()

    assert listed == again == [a_session(1).id] and waits == [True, False]
    assert await store.restored(limit=9) == [] and not await store.is_restored(a_session(1).id)
    await store.close()


async def test_unknown_credentials_stay_unless_their_end_is_asked_for(shop: Shop) -> None:
    store = await shop.open()
    await shop.fill(store)
    await shop.there.issue(Intent(SETTINGS.handle_prefix + "a" * 26, {}, FAR, FAR))

    told = await shop.reconcile(store).apply("shop-db", destroy_unknown=False)

    assert len(told.unknown) == 1 and not told.destroyed and len(shop.there.living()) == 2
    await store.close()


@pytest.fixture
def lone_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def promoted(server: PostgresServer) -> None:
    """Start the server anew as a standby and promote it: its timeline is another one then."""
    server.stop()
    signal = server.directory / "data" / "standby.signal"
    signal.touch()
    owner = (server.directory / "data").stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    server.start()
    assert await asyncio.to_thread(server.sql, "SELECT pg_promote()") == "t"


async def test_a_promotion_begins_an_epoch_and_fences_who_was_there(lone_server: PostgresServer) -> None:
    store = await open_postgres(Secret(lone_server.dsn()))
    await store.commit(Change(steps=(session.request(a_session(1)),)))
    await promoted(lone_server)

    codes = set()
    async with asyncio.timeout(20):
        while "fenced" not in codes:
            try:
                await store.commit(Change(steps=(session.request(a_session(2)),)))
            except Unavailable as error:
                codes.add(error.code)
    other = await open_postgres(Secret(lone_server.dsn()))
    third = await open_postgres(Secret(lone_server.dsn()))

    assert (await other.head()).epoch == 2 and await other.session(a_session(2).id) is None
    assert not await other.reconciling()  # nothing is known to be lost
    assert (await third.head()).epoch == 2
    for one in (store, other, third):
        await one.close()


async def test_an_ordinary_role_may_ask_for_the_timeline(lone_server: PostgresServer) -> None:
    lone_server.sql("CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE DATABASE own OWNER plain")

    store = await open_postgres(Secret(lone_server.dsn("own", user="plain", password="plain")))
    await store.close()

    assert lone_server.sql("SELECT place ~ '^[0-9]+/00000001$' FROM head", "own") == "t"
