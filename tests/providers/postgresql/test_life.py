"""A role's life at a real server: made, used, frozen, thawed, destroyed, seen to be gone."""

from __future__ import annotations

import asyncio

import pytest

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Issued, Presence, Ref
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, PostgresError
from tests.providers.postgresql.conftest import Bench, Made, absent, log_in
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio


async def test_an_issued_role_can_do_what_its_template_says_and_no_more(bench: Bench) -> None:
    made = await bench.issue()

    client = await bench.login(made)
    await client.execute("INSERT INTO shop.orders (who) VALUES ('me')")
    rows = await client.fetchval("SELECT count(*) FROM shop.orders")
    with pytest.raises(PostgresError, match="permission denied"):
        await client.execute("DELETE FROM shop.orders")
    client.terminate()
    await bench.provider.destroy(made.ref)

    assert int(str(rows)) >= 1
    assert await absent(bench, made.ref)


async def test_a_role_is_born_with_an_end_and_a_limit(bench: Bench) -> None:
    made = await bench.issue({**bench.intent().template, "connection_limit": 3})

    row = await bench.root.fetchrow(
        "SELECT rolvaliduntil > now() AS ends, rolvaliduntil < now() + interval '6 min' AS soon,"
        " rolconnlimit,"
        " rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication AS strong"
        " FROM pg_roles WHERE oid = $1",
        int(made.issued.target_id),
    )
    await bench.provider.destroy(made.ref)

    assert row is not None
    assert (row["ends"], row["soon"], row["rolconnlimit"], row["strong"]) == (True, True, 3, False)


async def test_destroying_ends_live_connections_and_is_idempotent(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)

    await bench.provider.destroy(made.ref)
    await bench.provider.destroy(made.ref)

    with pytest.raises((PostgresError, *DRIVER_ERRORS)):
        await client.execute("SELECT 1")
    with pytest.raises(PostgresError):
        await bench.login(made)
    assert await absent(bench, made.ref)
    assert await bench.roles(made.handle) == 0


async def test_a_frozen_role_is_cut_and_thaws_with_a_new_password_only(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)

    await bench.provider.freeze(made.ref)
    seen = await bench.provider.observe(made.ref)
    with pytest.raises(PostgresError):
        await bench.login(made)
    thawed = await bench.thaw(made)
    with pytest.raises(PostgresError):
        await bench.login(made)
    made.issued = thawed
    again = await bench.login(made)

    assert client.is_closed()
    assert (seen.presence, seen.detail["login"], seen.detail["backends"]) == (Presence.PRESENT, 0, 0)
    assert thawed.connection["user"] == made.handle
    again.terminate()
    await bench.provider.destroy(made.ref)
    assert await absent(bench, made.ref)


async def thaw_against(bench: Bench, made: Made, change: str) -> Issued | TargetError:
    """Thaw while somebody else has just made `change` to the role; they commit when the thaw waits."""
    other = await log_in(bench.server, "postgres", bench.server.password, "postgres")
    await other.execute("BEGIN")
    await other.execute(f"ALTER ROLE {made.handle} {change}")
    thawing = asyncio.create_task(bench.thaw(made))
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    await until_async(lambda: bench.root.fetchval(query))
    await other.execute("COMMIT")
    other.terminate()
    try:
        return await thawing
    except TargetError as error:
        return error


async def test_a_thaw_that_meets_a_freeze_comes_after_it(bench: Bench) -> None:
    made = await bench.issue()
    await bench.provider.freeze(made.ref)

    thawed = await thaw_against(bench, made, "NOLOGIN PASSWORD NULL")

    assert not isinstance(thawed, TargetError), thawed
    made.issued = thawed
    (await bench.login(made)).terminate()
    await bench.provider.destroy(made.ref)


async def test_a_thaw_that_meets_a_destroy_leaves_the_role_dying(bench: Bench) -> None:
    made = await bench.issue()
    await bench.provider.freeze(made.ref)

    refused = await thaw_against(bench, made, "VALID UNTIL '-infinity'")

    assert isinstance(refused, TargetError) and refused.code == "wrong_state"
    assert (await bench.provider.observe(made.ref)).detail["login"] == 0
    await bench.provider.destroy(made.ref)


async def test_an_unanswered_issue_is_found_and_destroyed_by_its_handle(bench: Bench) -> None:
    made = await bench.issue()

    located = await bench.provider.locate(made.handle)
    await bench.provider.destroy(Ref(made.handle, None))

    assert located == made.issued.target_id
    assert await absent(bench, made.ref)
    assert await absent(bench, Ref(made.handle, None))


async def test_a_renamed_role_is_destroyed_and_its_namesake_is_not(bench: Bench) -> None:
    made = await bench.issue()
    await bench.root.execute(f"ALTER ROLE {made.handle} RENAME TO {made.handle}_away")
    await bench.root.execute(f"CREATE ROLE {made.handle} LOGIN")

    await bench.provider.destroy(made.ref)
    seen = await bench.provider.observe(made.ref)

    assert seen.presence is Presence.ABSENT
    assert seen.detail["name_taken"] == 1
    assert await bench.roles(f"{made.handle}%") == 1
    await bench.root.execute(f"DROP ROLE {made.handle}")


async def test_a_strangers_role_under_our_handle_is_neither_taken_nor_destroyed(bench: Bench) -> None:
    handle = bench.handle()
    await bench.root.execute(f"CREATE ROLE {handle} LOGIN")

    with pytest.raises(TargetError) as refused:
        await bench.issue(handle=handle)
    await bench.provider.destroy(Ref(handle, None))
    seen = await bench.provider.observe(Ref(handle, None))

    assert refused.value.code == "handle_taken"
    assert await bench.roles(handle) == 1
    assert (seen.presence, seen.detail["unmarked"]) == (Presence.PRESENT, 1)
    await bench.root.execute(f"DROP ROLE {handle}")


async def test_a_dropped_role_with_a_live_connection_is_seen_as_lingering(bench: Bench) -> None:
    made = await bench.issue({"database": "shop"})
    client = await bench.login(made)
    await bench.root.execute(f"DROP ROLE {made.handle}")

    seen = await bench.provider.observe(made.ref)
    await bench.provider.destroy(made.ref)

    assert (seen.presence, seen.detail["backends"]) == (Presence.LINGERING, 1)
    with pytest.raises((PostgresError, *DRIVER_ERRORS)):
        await client.execute("SELECT 1")
    # A role that is gone cannot be barred, but its last connection can still be ended.
    assert await absent(bench, made.ref)


async def test_inventory_finds_our_roles_by_prefix_even_when_renamed(bench: Bench) -> None:
    first, second = (
        await bench.issue(handle=bench.handle("_inv")),
        await bench.issue(handle=bench.handle("_inv")),
    )
    await bench.root.execute(f"ALTER ROLE {second.handle} RENAME TO elsewhere")

    found = {one.handle: one for one in await bench.provider.inventory("soj_")}

    for made in (first, second):
        assert found[made.handle].target_id == made.issued.target_id
        assert found[made.handle].created_at is not None
        await bench.provider.destroy(made.ref)


async def test_grants_in_every_database_go_with_the_role(bench: Bench) -> None:
    made = await bench.issue()
    bench.server.sql(
        "CREATE TABLE lent (); GRANT SELECT ON lent TO governor WITH GRANT OPTION; SET ROLE governor;"
        f"GRANT SELECT ON lent TO {made.handle}"
    )

    await bench.provider.destroy(made.ref)

    bench.server.sql("DROP TABLE lent")
    assert await absent(bench, made.ref)
