"""A preflight proves a sound target, names what an unsound one lacks, and leaves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median

import pytest

from sojourn.core.secret import Secret
from sojourn.ports.provider import Check
from sojourn.providers.postgresql import PostgreSQL
from tests.providers.kits.by_password import ADMIN_PASSWORD
from tests.providers.kits.kit import SystemNow
from tests.providers.postgresql.conftest import SHOP, Bench, config_of, log_in
from tests.rig.proxy import Proxy, Rule

pytestmark = pytest.mark.anyio

STEPS = [
    "connect",
    "clock",
    "pooler",
    "privileges",
    "template shop",
    "canary created",
    "canary logs in",
    "canary cut while it works",
    "new login refused",
    "canary gone",
]


async def preflight(bench: Bench, *, prefix: str = "pre_", **members: object) -> Sequence[Check]:
    members = {"templates": {"shop": SHOP}, **members}
    provider = PostgreSQL(config_of(bench.server, **members), SystemNow())  # type: ignore[arg-type]
    try:
        return await provider.preflight(prefix)
    finally:
        await provider.close()


def failed(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks if not check.ok}


@pytest.mark.parametrize("admin_user", ["governor", "postgres"])
async def test_a_sound_target_passes_every_check(bench: Bench, admin_user: str) -> None:
    word = ADMIN_PASSWORD if admin_user == "governor" else bench.server.password

    checks = await preflight(bench, user=admin_user, password=Secret(word))

    assert not failed(checks)
    assert [check.name for check in checks] == STEPS
    assert await bench.roles("pre\\_%") == 0
    print({check.name: round(check.took_ms, 1) for check in checks}, checks[7].detail)


@pytest.mark.timed
async def test_five_preflights_take_less_than_a_second_each(bench: Bench) -> None:
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        await preflight(bench)
        took.append(1000 * (time.perf_counter() - begun))

    print(f"median preflight {median(took):.0f} ms")
    assert median(took) < 1000


async def test_missing_privileges_come_with_the_statements_that_mend_them(bench: Bench) -> None:
    await bench.root.execute("CREATE ROLE feeble LOGIN PASSWORD 'feeble'")

    before = failed(await preflight(bench, user="feeble", password=Secret("feeble"), templates={}))
    bench.server.sql(before["privileges"].mend)
    after = failed(await preflight(bench, user="feeble", password=Secret("feeble"), templates={}))

    await bench.root.execute("DROP ROLE feeble")
    assert before["privileges"].mend == "ALTER ROLE feeble CREATEROLE; GRANT pg_signal_backend TO feeble;"
    assert not after


async def test_each_grant_a_template_lacks_is_named_until_nothing_is_missing(bench: Bench) -> None:
    bench.server.sql("CREATE SCHEMA vault; CREATE TABLE vault.gold ()", "shop")
    template = {
        "database": "shop",
        "schemas": {"vault": {"privileges": ["USAGE"]}},
        "tables": [{"schema": "vault", "name": "gold", "privileges": ["SELECT"]}],
    }
    mends = []

    for _ in range(4):
        wrong = failed(await preflight(bench, templates={"vault": template}))
        if not wrong:
            break
        mends.append(wrong["template vault"].mend)
        bench.server.sql(mends[-1], "shop")

    bench.server.sql("DROP SCHEMA vault CASCADE", "shop")
    assert mends == [
        "GRANT USAGE ON SCHEMA vault TO governor WITH GRANT OPTION;",
        "GRANT SELECT ON TABLE vault.gold TO governor WITH GRANT OPTION;",
    ]


async def test_a_pooler_is_detected_by_the_backend_it_announces(bench: Bench) -> None:
    async with Proxy(bench.server.port) as proxy:
        # A pooler announces a backend key of its own making.
        proxy.rewrite = lambda frame: frame[:5] + b"\0\0\x30\x39" + frame[9:] if frame[:1] == b"K" else frame

        checks = failed(await preflight(bench, port=proxy.port))

    assert set(checks) == {"pooler"}
    assert "pooler" in checks["pooler"].mend


async def test_an_unreachable_target_fails_its_first_check_only(bench: Bench) -> None:
    checks = await preflight(bench, port=1)

    assert [(check.name, check.ok) for check in checks] == [("connect", False)]
    assert checks[0].detail.startswith("target_unreachable")


@pytest.mark.parametrize("word", [b"CREATE ROLE", b"PASSWORD NULL", b"DROP OWNED"])
async def test_a_preflight_that_fails_midway_leaves_no_canary(bench: Bench, word: bytes) -> None:
    async with Proxy(bench.server.port) as proxy:
        proxy.rules = [Rule(word, drop_reply=True, cut_after=True)]

        checks = await preflight(bench, port=proxy.port, templates={}, prefix="mid_", issue_seconds=1.0)

    assert failed(checks)
    assert checks[-1].name == "canary gone" and checks[-1].ok
    assert await bench.roles("mid\\_%") == 0


async def test_a_cancelled_preflight_leaves_no_canary(bench: Bench) -> None:
    for delay in (0.02, 0.05, 0.08, 0.12, 0.2):
        call = asyncio.create_task(preflight(bench, templates={}, prefix="cut_", issue_seconds=0.5))
        await asyncio.sleep(delay)

        call.cancel()
        await asyncio.wait([call])

    assert await bench.roles("cut\\_%") == 0


async def test_a_plain_server_announces_the_backend_that_serves(bench: Bench) -> None:
    """The ground on which the pooler check stands."""
    connection = await log_in(bench.server, "governor", ADMIN_PASSWORD, "postgres")

    announced, served = connection.get_server_pid(), await connection.fetchval("SELECT pg_backend_pid()")

    connection.terminate()
    assert announced == served


async def test_a_group_and_a_database_the_admin_cannot_give_are_named(bench: Bench) -> None:
    bench.server.sql(
        "CREATE ROLE crew; CREATE DATABASE guarded; REVOKE CONNECT ON DATABASE guarded FROM PUBLIC"
    )
    bench.server.sql("GRANT CONNECT ON DATABASE guarded TO governor")
    templates = {
        "crew": {"database": "shop", "roles": ["crew"]},
        "guarded": {"database": "guarded"},
    }

    before = failed(await preflight(bench, templates=templates, databases=("shop", "guarded")))
    for check in before.values():
        bench.server.sql(check.mend)
    after = failed(await preflight(bench, templates=templates, databases=("shop", "guarded")))

    bench.server.sql("DROP DATABASE guarded")
    bench.server.sql("DROP ROLE crew")
    assert {name: check.mend for name, check in before.items()} == {
        "template crew": "GRANT crew TO governor WITH ADMIN OPTION;",
        "template guarded": "GRANT CONNECT ON DATABASE guarded TO governor WITH GRANT OPTION;",
    }
    assert not after
