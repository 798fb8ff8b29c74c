"""Rights taken from a role that stays: refused in connections that are open, and nowhere regained."""

from __future__ import annotations

import secrets

import pytest

from sojourn.core.errors import Invalid, TargetError
from sojourn.ports.provider import Narrowing
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, PostgresError
from tests.providers.postgresql.conftest import SHOP, Bench, absent

pytestmark = pytest.mark.anyio
READ = {**SHOP, "tables": [{"schema": "shop", "name": "*", "privileges": ["SELECT"]}]}
ORDERS = {**SHOP, "tables": [{"schema": "shop", "name": "orders", "privileges": ["SELECT"]}]}
INSERT = "INSERT INTO shop.orders (who) VALUES ('me')"


def made_up() -> str:
    return secrets.token_hex(4)


async def test_an_open_connection_loses_the_right_and_keeps_the_rest(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)
    await client.execute(INSERT)

    method = await bench.provider.narrow(made.ref, READ)

    with pytest.raises(PostgresError, match="permission denied"):
        await client.execute(INSERT)
    assert await client.fetchval("SELECT count(*) FROM shop.orders") is not None
    assert "0 connections cut" in method
    client.terminate()
    await bench.provider.destroy(made.ref)
    assert await absent(bench, made.ref)


async def test_a_transaction_that_had_begun_is_cut_with_its_cursor(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)
    await client.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM shop.items; " + INSERT)

    await bench.provider.narrow(made.ref, ORDERS)

    with pytest.raises((PostgresError, *DRIVER_ERRORS)):
        await client.fetch("FETCH ALL FROM c")
    again = await bench.login(made)
    with pytest.raises(PostgresError, match="permission denied"):
        await again.fetch("SELECT * FROM shop.items")
    again.terminate()
    await bench.provider.destroy(made.ref)


async def test_a_right_on_what_was_renamed_since_is_found_and_taken(bench: Bench) -> None:
    bench.server.sql(
        "CREATE TABLE shop.drafts (id int); GRANT SELECT ON shop.drafts TO governor"
        " WITH GRANT OPTION; GRANT INSERT ON shop.drafts TO governor WITH GRANT OPTION",
        "shop",
    )
    made = await bench.issue()
    client = await bench.login(made)
    bench.server.sql("ALTER TABLE shop.drafts RENAME TO final", "shop")

    await bench.provider.narrow(made.ref, ORDERS)

    with pytest.raises(PostgresError, match="permission denied"):
        await client.execute("SELECT * FROM shop.final")
    client.terminate()
    await bench.provider.destroy(made.ref)
    bench.server.sql("DROP TABLE shop.final", "shop")


async def test_a_right_that_everybody_has_is_not_said_to_be_gone(bench: Bench) -> None:
    made = await bench.issue()
    bench.server.sql("GRANT INSERT ON shop.items TO PUBLIC", "shop")

    with pytest.raises(TargetError, match="held_otherwise"):
        await bench.provider.narrow(made.ref, READ)

    bench.server.sql("REVOKE INSERT ON shop.items FROM PUBLIC", "shop")
    await bench.provider.narrow(made.ref, READ)
    await bench.provider.destroy(made.ref)


async def test_a_right_that_came_by_another_hand_is_not_said_to_be_gone(bench: Bench) -> None:
    """`REVOKE` takes what its own grantor gave, answers as if all were gone, and leaves the rest."""
    made = await bench.issue()
    bench.server.sql(f"GRANT INSERT ON shop.orders TO {made.handle}", "shop")  # the owner's own grant

    with pytest.raises(TargetError, match="held_otherwise"):
        await bench.provider.narrow(made.ref, READ)
    client = await bench.login(made)
    await client.execute(INSERT)  # the error was the truth

    bench.server.sql(f"REVOKE INSERT ON shop.orders FROM {made.handle}", "shop")
    await bench.provider.narrow(made.ref, READ)
    with pytest.raises(PostgresError, match="permission denied"):
        await client.execute(INSERT)
    client.terminate()
    await bench.provider.destroy(made.ref)


async def test_a_right_on_single_columns_is_found_or_said_to_be_left(bench: Bench) -> None:
    """Rights of columns stand beside those of their table, and outlive a look at the table alone."""
    made = await bench.issue()
    bench.server.sql(f"GRANT UPDATE (who) ON shop.orders TO {made.handle}", "shop")

    with pytest.raises(TargetError, match="held_otherwise"):
        await bench.provider.narrow(made.ref, READ)

    bench.server.sql(f"REVOKE UPDATE (who) ON shop.orders FROM {made.handle}", "shop")
    await bench.provider.narrow(made.ref, READ)
    await bench.provider.destroy(made.ref)


async def test_a_membership_that_the_admin_cannot_take_is_an_error(bench: Bench) -> None:
    """A group given by a superuser since: its rights are held, whatever was revoked of the role itself."""
    group = f"givers_{made_up()}"
    made = await bench.issue()
    bench.server.sql(f"CREATE ROLE {group}; GRANT INSERT ON shop.orders TO {group};", "shop")
    bench.server.sql(f"GRANT {group} TO {made.handle}; ALTER ROLE {group} SUPERUSER", "shop")

    with pytest.raises(TargetError) as left:
        await bench.provider.narrow(made.ref, READ)

    assert left.value.code in ("held_otherwise", "missing_privilege")
    bench.server.sql(f"REVOKE {group} FROM {made.handle}; DROP OWNED BY {group}; DROP ROLE {group}", "shop")
    await bench.provider.narrow(made.ref, READ)
    await bench.provider.destroy(made.ref)


async def test_a_frozen_role_is_narrowed_and_stays_so_when_thawed(bench: Bench) -> None:
    made = await bench.issue()
    await bench.provider.freeze(made.ref)

    await bench.provider.narrow(made.ref, READ)
    issued = await bench.thaw(made)

    client = await bench.login(type(made)(made.handle, issued))
    with pytest.raises(PostgresError, match="permission denied"):
        await client.execute(INSERT)
    client.terminate()
    await bench.provider.destroy(made.ref)


async def test_narrowing_what_is_gone_succeeds_and_finds_nothing(bench: Bench) -> None:
    made = await bench.issue()
    await bench.provider.destroy(made.ref)

    assert await bench.provider.narrow(made.ref, READ)
    assert isinstance(bench.provider, Narrowing)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (READ, SHOP),
        (ORDERS, READ),
        (SHOP, {**SHOP, "roles": ["readers"]}),
        (SHOP, {**SHOP, "connection_limit": 11}),
        (SHOP, {**SHOP, "may_own_objects": True}),
        (SHOP, {**SHOP, "schemas": {"public": {"privileges": ["USAGE"]}}}),
        (
            {**SHOP, "sequences": []},
            {**SHOP, "sequences": [{"schema": "shop", "name": "*", "privileges": ["USAGE"]}]},
        ),
    ],
)
async def test_a_template_that_adds_anything_is_not_narrower(
    bench: Bench, before: dict[str, object], after: dict[str, object]
) -> None:
    with pytest.raises(Invalid, match="not_narrower"):
        bench.provider.check_narrower(before, after)


async def test_a_template_that_only_removes_is_narrower(bench: Bench) -> None:
    for before, after in ((SHOP, SHOP), (SHOP, READ), (READ, ORDERS), (SHOP, {"database": "shop"})):
        bench.provider.check_narrower(before, after)
