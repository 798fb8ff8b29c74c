"""Templates of the server targets: a closed vocabulary, names that cannot break out, no wildcards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sojourn.adapters.catalog_providers import provider_class
from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Provider, Ref
from sojourn.providers.mysql.wire import Connection, ServerError
from tests.providers.kits import Servers
from tests.providers.kits.by_password import ADMIN_PASSWORD
from tests.providers.kits.kit import SystemNow
from tests.providers.kits.mysql import MariaKit
from tests.providers.kits.redis import RedisKit
from tests.rig.maria_pooler import MariaPooler
from tests.rig.nats_server import NatsServer
from tests.rig.poll import fault_falls_after

pytestmark = pytest.mark.anyio

BAD: list[tuple[str, Mapping[str, object], str]] = [
    ("mysql", {"schemas": {"shop": {"privileges": ["SELECT WITH GRANT OPTION"]}}}, "schemas"),
    ("mysql", {"schemas": {"shop": {"privileges": ["FILE"]}}}, "schemas"),
    ("mysql", {"schemas": {"shop": {"privileges": ["SUPER"]}}}, "schemas"),
    ("mysql", {"schemas": {"shop": {"privileges": ["CREATE VIEW"]}}}, "schemas"),
    ("mysql", {"schemas": {"MySQL": {"privileges": ["SELECT"]}}}, "system schema"),
    ("mysql", {"schemas": {"a\\b": {"privileges": ["SELECT"]}}}, "backslash"),
    ("mysql", {"tables": [{"schema": "sys", "name": "t", "privileges": ["SELECT"]}]}, "tables[0].schema"),
    ("mysql", {"tables": [{"schema": "shop", "name": "a\0b", "privileges": ["SELECT"]}]}, "tables[0].name"),
    ("mysql", {"tables": [{"schema": "shop", "name": "n" * 65, "privileges": ["SELECT"]}]}, "64"),
    ("mysql", {"connection_limit": 0}, "connection_limit"),
    ("mysql", {"roles": ["dba"]}, "roles"),
    ("redis", {"categories": ["admin"]}, "categories"),
    ("redis", {"categories": ["scripting"]}, "categories"),
    ("redis", {"commands": ["get", "+@all"]}, "commands[1]"),
    ("redis", {"commands": ["get"], "keys": ["a b"]}, "keys[0]"),
    ("redis", {"commands": ["get"], "channels": ["\ud800"]}, "channels[0]"),
    ("redis", {"keys": ["*"]}, "categories"),
    ("rabbitmq", {"vhost": ""}, "vhost"),
    ("rabbitmq", {"write": ["a\nb"]}, "write[0]"),
    ("rabbitmq", {"tags": "administrator"}, "tags"),
    ("nats", {"publish": [">"]}, "publish[0]"),
    ("nats", {"publish": ["$SYS.REQ.>"]}, "publish[0]"),
    ("nats", {"publish": ["$JS.API.>"]}, "publish[0]"),
    ("nats", {"subscribe": ["_INBOX.>"]}, "subscribe[0]"),
    ("nats", {"subscribe": ["a.>.b"]}, "subscribe[0]"),
    ("nats", {"subscribe": ["a..b"]}, "subscribe[0]"),
    ("nats", {"subscribe": ["a b"]}, "subscribe[0]"),
]

ADDRESSES = [
    ("mysql", "mysql://u:hunter2@h:port/"),
    ("mysql", "postgresql://u:hunter2@h/"),
    ("mysql", "mysql://u@h/"),
    ("mysql", "mysql://u:hunter2@h/?tls=maybe"),
    ("mysql", "mysql://u:hunter2@h/?init=hunter2"),
    ("redis", "redis://u:hunter2@far.example"),
    ("redis", "redis://u:hunter2@127.0.0.1/3"),
    ("redis", "rediss://u:hunter2@127.0.0.1"),
    ("rabbitmq", "http://u:hunter2@far.example"),
    ("rabbitmq", "http://u:hunter2@127.0.0.1/api"),
    ("nats", '{"url": "nats://u:hunter2@h"}'),
    ("nats", "hunter2"),
]

BOTH = ["mariadb", "mysql"]
HOSTILE = ["a`b", "a'b", 'a"b', "x`; DROP TABLE shop.items; -- x", "%s %d", "naïve 名前", "UPPER low", "a.b"]


@pytest.mark.parametrize(("name", "template", "named"), BAD, ids=lambda one: str(one)[:40])
async def test_a_template_that_asks_for_more_is_refused_by_member(
    name: str, template: Mapping[str, object], named: str
) -> None:
    provider = _provider(name)

    with pytest.raises(Invalid) as refused:
        provider.check_template(template)

    assert refused.value.code == "bad_template"
    assert named in refused.value.message


@pytest.mark.parametrize(("name", "address"), ADDRESSES)
async def test_a_bad_address_is_refused_without_being_repeated(name: str, address: str) -> None:
    with pytest.raises(Invalid) as refused:
        provider_class(name).configured({}, {}, Secret(address), SystemNow())

    assert refused.value.code == "bad_target"
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("handle", ["", "a b", "a'b", "a`b", "a;b", "ü", "a\0", "x" * 200, "../up", "a\r\nb"])
async def test_a_handle_that_could_break_out_is_refused_unsent(handle: str) -> None:
    for name in ("mysql", "redis", "rabbitmq", "nats"):
        provider = _provider(name)
        for call in (
            provider.locate(handle),
            provider.destroy(Ref(handle, None)),
            provider.inventory(handle),
        ):
            with pytest.raises(TargetError) as refused:
                await call
            assert refused.value.sent is False
        await provider.close()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_survive_quoting_in_sql(servers: Servers, name: str, kind: str) -> None:
    kit = _maria(servers, kind)
    place = "`" + name.replace("`", "``") + "`"
    pattern = place.replace("_", "\\_").replace("%", "\\%")
    kit.server.sql(
        f"CREATE DATABASE {place}; CREATE TABLE {place}.{place} (id INT);"
        f"GRANT SELECT ON {pattern}.* TO governor@'127.0.0.1' WITH GRANT OPTION;"
    )
    template: dict[str, object] = {
        "schemas": {name: {"privileges": ["SELECT"]}},
        "tables": [{"schema": name, "name": name, "privileges": ["SELECT"]}],
    }

    client, ref = await _client(kit, template)
    rows = await client.fetch(f"SELECT COUNT(*) FROM {place}.{place}")
    client.drop()
    await kit.provider.destroy(ref)

    kit.server.sql(f"DROP DATABASE {place}")
    left = kit.server.sql("SELECT COUNT(*) FROM shop.items")
    await kit.close()
    assert (rows[0][0], left) == (0, "0")


@pytest.mark.parametrize("kind", BOTH)
async def test_an_underscore_in_a_schema_matches_no_other_schema(servers: Servers, kind: str) -> None:
    kit = _maria(servers, kind)
    kit.server.sql(
        "CREATE DATABASE us_er; CREATE DATABASE usXer; CREATE TABLE us_er.t (id INT);"
        "CREATE TABLE usXer.t (id INT);"
        "GRANT SELECT ON `us\\_er`.* TO governor@'127.0.0.1' WITH GRANT OPTION;"
    )

    client, ref = await _client(kit, {"schemas": {"us_er": {"privileges": ["SELECT"]}}})
    own = await client.fetch("SELECT COUNT(*) FROM us_er.t")
    with pytest.raises(ServerError, match="denied"):
        await client.fetch("SELECT COUNT(*) FROM usXer.t")

    client.drop()
    await kit.provider.destroy(ref)
    kit.server.sql("DROP DATABASE us_er; DROP DATABASE usXer")
    await kit.close()
    assert own[0][0] == 0


@pytest.mark.parametrize("kind", BOTH)
async def test_the_server_says_which_grant_is_missing_and_leaves_no_account(
    servers: Servers, kind: str
) -> None:
    kit = _maria(servers, kind)
    intent = kit.intent()
    wanting = replace(intent, template={"schemas": {"shop": {"privileges": ["SELECT", "DROP"]}}})

    with pytest.raises(TargetError) as refused:
        await kit.provider.issue(wanting)

    left = await kit.accounts(intent.handle)
    await kit.close()
    assert refused.value.code == "missing_privilege"
    mend = getattr(refused.value.__cause__, "mend", "")
    assert mend == "GRANT SELECT, DROP ON `shop`.* TO `governor`@`127.0.0.1` WITH GRANT OPTION;"
    assert left == 0


@pytest.mark.parametrize("kind", BOTH)
async def test_an_anonymous_account_fails_the_preflight(servers: Servers, kind: str) -> None:
    kit = _maria(servers, kind)
    kit.server.sql("CREATE USER ''@'localhost'")

    checks = {one.name: one for one in await kit.provider.preflight("sj_pre_")}

    kit.server.sql(checks["anonymous accounts"].mend)
    again = await kit.provider.preflight("sj_pre_")
    await kit.close()
    assert not checks["anonymous accounts"].ok
    assert checks["anonymous accounts"].mend == "DROP USER ``@`localhost`;"
    assert all(one.ok for one in again)


@pytest.mark.parametrize("says_ids_of_server", [False, True], ids=["its own ids", "ids of the server"])
async def test_a_real_pooler_before_mariadb_fails_the_preflight(
    servers: Servers, says_ids_of_server: bool
) -> None:
    """Two logins of the admin come over one connection; it works, and could govern nothing."""
    kit = _maria(servers)
    users = {"governor": ADMIN_PASSWORD}
    async with MariaPooler(kit.port, users, says_ids_of_server=says_ids_of_server) as pooler:
        provider = kit.through(pooler.port)
        checks = await provider.preflight("sj_pool_")
        stranger = kit.through(pooler.port, kit.secret(pooler.port, "wrong"))
        refused = await stranger.preflight("sj_pool_")
        await provider.close()
        await stranger.close()

    made = await kit.provider.inventory("sj_pool_")
    await kit.close()
    assert [(one.name, one.ok) for one in checks] == [("connect", True), ("clock", True), ("pooler", False)]
    assert "a pooler answers" in checks[-1].detail and checks[-1].mend
    assert [(one.name, one.ok) for one in refused] == [("connect", False)]
    assert not made


@pytest.mark.parametrize("kind", BOTH)
async def test_no_password_reaches_the_log_of_a_server_that_logs_everything(
    servers: Servers, kind: str
) -> None:
    kit = _maria(servers, kind)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    await kit.provider.freeze(Ref(intent.handle, issued.target_id))
    again = await kit.provider.thaw(Ref(intent.handle, issued.target_id), kit.intent(handle=intent.handle))
    await kit.provider.destroy(Ref(intent.handle, issued.target_id))
    await kit.close()

    log = kit.server.log_path.read_text(errors="replace")

    assert intent.handle in log
    assert issued.secret.reveal() not in log
    assert again.secret.reveal() not in log


async def test_no_password_reaches_what_mysql_shows_of_running_statements(servers: Servers) -> None:
    kit = _maria(servers, "mysql")
    issued = await kit.provider.issue(kit.intent())
    tables = ("threads", "events_statements_current", "events_statements_history")
    columns = {"threads": "PROCESSLIST_INFO"}

    shown = [
        kit.server.sql(f"SELECT {columns.get(one, 'SQL_TEXT')} FROM performance_schema.{one}")
        for one in tables
    ]

    await kit.provider.destroy(Ref(issued.connection["user"], issued.target_id))
    await kit.close()
    assert any("CREATE USER" in one for one in shown)
    assert not any(issued.secret.reveal() in one for one in shown)


async def test_a_redis_user_saved_to_the_acl_file_does_not_come_back(servers: Servers) -> None:
    kit = servers.kit("redis")
    assert isinstance(kit, RedisKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    await kit.ask("ACL", "SAVE")  # as an operator might, in the middle of a session
    saved = intent.handle in kit.server.acl_path.read_text()

    await kit.provider.destroy(Ref(intent.handle, issued.target_id))
    await _restart(kit)

    back = await kit.accounts(intent.handle)
    await kit.close()
    assert saved
    assert back == 0


async def test_a_redis_that_lost_its_users_is_seen_as_it_is(servers: Servers) -> None:
    kit = servers.kit("redis")
    assert isinstance(kit, RedisKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    await _restart(kit)  # the user was never saved

    found = await kit.provider.inventory(intent.handle)
    with pytest.raises(TargetError) as refused:
        await kit.provider.thaw(Ref(intent.handle, issued.target_id), kit.intent(handle=intent.handle))
    await kit.provider.destroy(Ref(intent.handle, issued.target_id))

    gone = await kit.absent(Ref(intent.handle, issued.target_id))
    await kit.close()
    assert not found
    assert refused.value.code == "missing_object"
    assert gone


async def test_an_open_default_user_fails_the_preflight_of_redis(servers: Servers) -> None:
    kit = servers.kit("redis")
    assert isinstance(kit, RedisKit)
    await kit.ask("ACL", "SETUSER", "default", "nopass")

    checks = {one.name: one for one in await kit.provider.preflight("sj_pre_")}

    await kit.ask("ACL", "SETUSER", "default", "resetpass", ">root-of-the-tests")
    await kit.close()
    assert not checks["default user"].ok
    assert checks["default user"].mend == "ACL SETUSER default off"


async def test_a_right_the_redis_admin_lacks_is_named(servers: Servers) -> None:
    kit = servers.kit("redis")
    assert isinstance(kit, RedisKit)
    await kit.ask("ACL", "SETUSER", "governor", "-watch", "-client|kill")

    checks = {one.name: one for one in await kit.provider.preflight("sj_pre_")}

    await kit.ask("ACL", "SETUSER", "governor", "+watch", "+client|kill")
    await kit.close()
    assert not checks["privileges"].ok
    assert checks["privileges"].mend.startswith("ACL SETUSER governor +client|kill +watch ")


async def _restart(kit: RedisKit) -> None:
    kit.server.stop()
    kit.server.start()
    await fault_falls_after(0.05)  # old connections learn of it


def _maria(servers: Servers, name: str = "mariadb") -> MariaKit:
    kit = servers.kit(name)
    assert isinstance(kit, MariaKit)
    return kit


async def _client(kit: MariaKit, template: Mapping[str, object]) -> tuple[Connection, Ref]:
    intent = replace(kit.intent(), template=template)
    issued = await kit.provider.issue(intent)
    return await kit.log_in(issued), Ref(intent.handle, issued.target_id)


def _provider(name: str) -> Provider:
    """A provider that nothing listens to."""
    addresses = {
        "mysql": "mysql://u:p@127.0.0.1:1/",
        "redis": "redis://u:p@127.0.0.1:1",
        "rabbitmq": "http://u:p@127.0.0.1:1",
        "nats": NatsServer().secret(1).reveal(),
    }
    return provider_class(name).configured({}, {}, Secret(addresses[name]), SystemNow())
