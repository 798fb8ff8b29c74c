"""What only PostgreSQL can do wrong; the faults of every target are in `tests/providers/test_faults.py`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Presence, Ref
from sojourn.providers.postgresql import PostgreSQL
from tests.providers.kits.by_password import ADMIN_PASSWORD
from tests.providers.kits.kit import SystemNow
from tests.providers.postgresql.conftest import BARE, Bench, absent, config_of, log_in
from tests.rig.poll import fault_falls_after
from tests.rig.postgres import PostgresServer
from tests.rig.proxy import Proxy, Rule

pytestmark = pytest.mark.anyio

FENCE_SECONDS = 1.0
HELD_SECONDS = float(os.environ.get("SOJOURN_TEST_HELD_SECONDS", "2"))
TRIALS = int(os.environ.get("SOJOURN_TEST_HELD_TRIALS", "4"))


@asynccontextmanager
async def behind(proxy: Proxy, server: PostgresServer, **members: object) -> AsyncIterator[PostgreSQL]:
    provider = PostgreSQL(config_of(server, port=proxy.port, **members), SystemNow())
    try:
        yield provider
    finally:
        await provider.close()


async def test_a_create_held_back_beyond_its_deadline_leaves_no_orphan(bench: Bench) -> None:
    async with Proxy(bench.server.port) as proxy:
        async with AsyncExitStack() as stack:
            # One provider a trial, as with several processes: in one, issues take turns.
            sides = [behind(proxy, bench.server, issue_seconds=FENCE_SECONDS) for _ in range(TRIALS)]
            providers = [await stack.enter_async_context(side) for side in sides]
            proxy.rules = [Rule(b"CREATE ROLE", hold_seconds=HELD_SECONDS) for _ in range(TRIALS)]
            intents = [bench.intent(handle=bench.handle("_held")) for _ in range(TRIALS)]

            results = await asyncio.gather(
                *(provider.issue(intent) for provider, intent in zip(providers, intents, strict=True)),
                return_exceptions=True,
            )
            async with asyncio.timeout(HELD_SECONDS + 5):
                while len(proxy.errors) < TRIALS:
                    await fault_falls_after(0.02)

        assert proxy.delivered == TRIALS
        assert all(b"CSJ001" in error for error in proxy.errors)
    assert all(isinstance(one, TargetError) and one.sent for one in results)
    assert await bench.roles("soj\\_%\\_held") == 0


async def test_without_the_fence_a_held_back_create_lands(bench: Bench) -> None:
    """Shows that the test above can fail: a long fence lets the same message through."""
    async with Proxy(bench.server.port) as proxy, behind(proxy, bench.server, issue_seconds=9) as provider:
        proxy.rules = [Rule(b"CREATE ROLE", hold_seconds=1.0)]
        fresh = bench.intent()
        slow = Intent(fresh.handle, fresh.template, fresh.issue_by + timedelta(seconds=9), fresh.expires_at)

        call = asyncio.create_task(provider.issue(slow))
        await fault_falls_after(0.5)
        call.cancel()
        async with asyncio.timeout(5):
            while not await bench.roles(fresh.handle):
                await fault_falls_after(0.02)

    await bench.provider.destroy(Ref(fresh.handle, None))
    assert call.cancelled()
    assert await absent(bench, Ref(fresh.handle, None))


@pytest.mark.parametrize("word", [b"PASSWORD NULL", b"pg_terminate_backend(a.pid)) FROM", b"DROP OWNED"])
async def test_a_destroy_whose_answer_is_lost_can_be_repeated(bench: Bench, word: bytes) -> None:
    made = await bench.issue()
    async with Proxy(bench.server.port) as proxy, behind(proxy, bench.server) as provider:
        proxy.rules = [Rule(word, drop_reply=True, cut_after=True)]

        with pytest.raises(TargetError) as lost:
            await provider.destroy(made.ref)
        await provider.destroy(made.ref)

        assert (await provider.observe(made.ref)).presence is Presence.ABSENT
    assert lost.value.sent
    assert await absent(bench, made.ref)


async def test_a_replaced_admin_password_heals_refused_logins(bench: Bench) -> None:
    await bench.root.execute("CREATE ROLE rotated LOGIN CREATEROLE PASSWORD 'second'")
    provider = PostgreSQL(config_of(bench.server, user="rotated", password=Secret("first")), SystemNow())

    with pytest.raises(TargetError) as refused:
        await provider.locate("soj_nobody")
    provider.replace_password(Secret("second"))
    healed = await provider.locate("soj_nobody")

    await provider.close()
    await bench.root.execute("DROP ROLE rotated")
    assert (refused.value.code, refused.value.sent) == ("admin_login_refused", False)
    assert healed is None


async def test_an_issue_that_still_commits_is_not_an_absence(bench: Bench) -> None:
    """A commit may be waiting for a standby after the deadline was checked."""
    handle = bench.handle()
    query = "SELECT pg_advisory_xact_lock(1399812981, hashtext($1))"
    holder = await log_in(bench.server, "governor", ADMIN_PASSWORD, "shop")
    trial = holder.transaction()
    await trial.start()
    await holder.fetchval(query, handle)

    during = await bench.provider.observe(Ref(handle, None))
    await trial.rollback()
    after = await bench.provider.observe(Ref(handle, None))

    holder.terminate()
    assert (during.presence, after.presence) == (Presence.PRESENT, Presence.ABSENT)


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_not_reached_in_the_clear_unless_told_so(
    bench: Bench, sslmode: str
) -> None:
    provider = PostgreSQL(config_of(bench.server, sslmode=sslmode), SystemNow())

    with pytest.raises(TargetError) as refused:
        await provider.locate("soj_nobody")

    await provider.close()
    assert (refused.value.code, refused.value.sent) == ("target_unreachable", False)


async def test_cutting_waits_for_nobody_who_only_makes(bench: Bench) -> None:
    """Every message of every issue is lost; what a freeze needs is still there."""
    made = await bench.issue()
    async with Proxy(bench.server.port) as proxy, behind(proxy, bench.server) as provider:
        proxy.rules = [Rule(b"CREATE ROLE", drop=True) for _ in range(8)]
        makers = [asyncio.create_task(provider.issue(bench.intent(BARE))) for _ in range(8)]
        await fault_falls_after(0.1)

        async with asyncio.timeout(2):
            await provider.freeze(made.ref)

        for maker in makers:
            maker.cancel()
        await asyncio.gather(*makers, return_exceptions=True)
    await bench.provider.destroy(made.ref)
    assert await absent(bench, made.ref)
