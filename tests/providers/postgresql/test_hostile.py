"""Names made to break out, clients that fight back, and roles that own things."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.errors import Invalid, TargetError
from sojourn.ports.provider import Presence
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, PostgresError
from tests.providers.postgresql.conftest import SHOP, Bench, absent, log_in

pytestmark = pytest.mark.anyio

HOSTILE = [
    'a"b',
    "a'b",
    'x"; DROP TABLE shop.items; --',
    "x'; DROP TABLE shop.items; --",
    "a\\b\\'",
    "$$; DROP TABLE shop.items; $$",
    "$sojourn$",
    "%I %L %s",
    "naïve 名前 🔑",
    " leading and trailing ",
    "UPPER lower",
    "new\nline",
    "n" * 63,
    "é" * 31,
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_survive_quoting_everywhere(bench: Bench, name: str) -> None:
    schema, who = quoted(name), quoted("governor")
    bench.server.sql(
        f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.{schema} (); GRANT USAGE ON SCHEMA {schema} TO {who}"
        f" WITH GRANT OPTION; GRANT SELECT ON {schema}.{schema} TO {who} WITH GRANT OPTION;",
        "shop",
    )
    bench.server.sql(
        f"CREATE ROLE {quoted('g' + name[:30])}; GRANT {quoted('g' + name[:30])} TO {who} WITH ADMIN OPTION"
    )
    template: dict[str, object] = {
        "database": "shop",
        "schemas": {name: {"privileges": ["USAGE"]}},
        "tables": [{"schema": name, "name": name, "privileges": ["SELECT"]}],
        "roles": ["g" + name[:30]],
    }

    made = await bench.issue(template, handle=name)
    client = await bench.login(made)
    await client.fetch(f"SELECT FROM {schema}.{schema}")
    found = await bench.provider.locate(name)
    listed = [one.handle for one in await bench.provider.inventory(name)]
    await bench.provider.freeze(made.ref)
    await bench.thaw(made)
    await bench.provider.destroy(made.ref)

    bench.server.sql(f"DROP SCHEMA {schema} CASCADE", "shop")
    bench.server.sql(f"DROP ROLE {quoted('g' + name[:30])}")
    assert (found, listed) == (made.issued.target_id, [name])
    assert await absent(bench, made.ref)
    assert bench.server.sql("SELECT count(*) FROM shop.items", "shop") == "0"


@pytest.mark.parametrize("name", ["", "n" * 64, "é" * 32, "a\0b", "pg_admin", "\ud800"])
async def test_names_that_cannot_exist_are_refused_unsent(bench: Bench, name: str) -> None:
    with pytest.raises(TargetError) as refused:
        await bench.provider.issue(replace(bench.intent(), handle=name))
    with pytest.raises(Invalid):
        bench.provider.check_template({**SHOP, "schemas": {name: {"privileges": ["USAGE"]}}})

    assert (refused.value.code, refused.value.sent) == ("bad_handle", False)


async def test_a_database_with_a_hostile_name_is_governed_like_any_other(bench: Bench) -> None:
    made = await bench.issue({"database": "an\"ne'x"})

    client = await log_in(bench.server, made.handle, made.issued.secret.reveal(), "an\"ne'x")
    await bench.provider.destroy(made.ref)

    with pytest.raises((PostgresError, *DRIVER_ERRORS)):
        await client.execute("SELECT 1")
    assert await absent(bench, made.ref)


async def test_a_client_that_holds_its_own_row_is_destroyed_all_the_same(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)
    await client.execute("BEGIN")
    await client.execute("ALTER ROLE CURRENT_USER PASSWORD 'mine now'")

    await bench.provider.destroy(made.ref)

    assert await absent(bench, made.ref)


async def test_a_prepared_transaction_does_not_outlive_its_role(bench: Bench) -> None:
    made = await bench.issue()
    client = await bench.login(made)
    await client.execute(
        "BEGIN; INSERT INTO shop.orders (who) VALUES ('prepared'); PREPARE TRANSACTION 'it''s'"
    )

    await bench.provider.destroy(made.ref)

    assert await absent(bench, made.ref)
    assert bench.server.sql("SELECT count(*) FROM pg_prepared_xacts") == "0"
    assert bench.server.sql("SELECT count(*) FROM shop.orders WHERE who = 'prepared'", "shop") == "0"


async def test_a_role_that_owns_objects_is_quarantined_and_never_reassigned(bench: Bench) -> None:
    bench.server.sql("CREATE ROLE team; GRANT team TO governor WITH ADMIN OPTION")
    bench.server.sql("GRANT CREATE ON SCHEMA shop TO governor WITH GRANT OPTION", "shop")
    schemas = {"shop": {"privileges": ["USAGE", "CREATE"]}}
    made = await bench.issue({**SHOP, "schemas": schemas, "roles": ["team"], "may_own_objects": True})
    client = await bench.login(made)
    await client.execute(
        "CREATE FUNCTION shop.trap() RETURNS text SECURITY DEFINER LANGUAGE sql"
        " AS 'SELECT current_user::text'"
    )

    await bench.provider.destroy(made.ref)
    await bench.provider.destroy(made.ref)
    seen = await bench.provider.observe(made.ref)

    owner = bench.server.sql("SELECT proowner FROM pg_proc WHERE proname = 'trap'", "shop")
    rights = bench.server.sql(f"SELECT has_table_privilege({owner}, 'shop.orders', 'SELECT')", "shop")
    members = bench.server.sql(f"SELECT count(*) FROM pg_auth_members WHERE member = {owner}")
    with pytest.raises((PostgresError, *DRIVER_ERRORS)):
        await bench.login(made)
    bench.server.sql("DROP FUNCTION shop.trap()", "shop")
    await bench.provider.destroy(made.ref)
    assert seen.presence is Presence.QUARANTINED
    assert "shop" in str(seen.detail["owned"])
    assert (owner, rights, members) == (made.issued.target_id, "f", "0")
    assert await absent(bench, made.ref)


@pytest.mark.parametrize("attribute", ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"])
async def test_a_group_that_leads_to_power_is_refused(bench: Bench, attribute: str) -> None:
    bench.server.sql(f"CREATE ROLE strong {attribute}; CREATE ROLE innocent; GRANT strong TO innocent")

    with pytest.raises(TargetError) as refused:
        await bench.issue({"database": "shop", "roles": ["innocent"]})

    bench.server.sql("DROP ROLE strong; DROP ROLE innocent")
    assert refused.value.code == "dangerous_role"
    assert "`strong`" in refused.value.message


async def test_a_group_that_leads_to_a_predefined_role_or_owns_objects_is_refused(bench: Bench) -> None:
    bench.server.sql("CREATE ROLE reader; GRANT pg_read_server_files TO reader")
    bench.server.sql("CREATE ROLE owner; CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO owner")

    codes = []
    for role in ("reader", "owner"):
        with pytest.raises(TargetError) as refused:
            await bench.issue({"database": "shop", "roles": [role]})
        codes.append(refused.value.code)

    bench.server.sql("DROP TABLE theirs; DROP ROLE reader; DROP ROLE owner")
    assert codes == ["dangerous_role", "dangerous_role"]


async def test_a_grant_the_admin_cannot_give_is_refused_with_its_remedy(bench: Bench) -> None:
    bench.server.sql("CREATE TABLE shop.closed ()", "shop")
    template: dict[str, object] = {
        "database": "shop",
        "tables": [{"schema": "shop", "name": "closed", "privileges": ["SELECT"]}],
    }

    with pytest.raises(TargetError) as refused:
        await bench.issue(template)

    bench.server.sql("DROP TABLE shop.closed", "shop")
    assert refused.value.code == "missing_privilege"
    hint = getattr(refused.value.__cause__, "hint", "")
    assert hint == "GRANT SELECT ON TABLE shop.closed TO governor WITH GRANT OPTION"


async def test_no_password_reaches_the_server_log_even_when_it_logs_everything(bench: Bench) -> None:
    made = await bench.issue()
    await bench.provider.destroy(made.ref)

    log = bench.server.log_path.read_text(errors="replace")

    assert made.issued.secret.reveal() not in log
    assert "CREATE ROLE" in log
