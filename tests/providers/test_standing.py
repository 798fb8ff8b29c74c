"""Accounts that no session made are listed by each server, with what it knows of them; ours are not."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from sojourn.core.authorized_keys import read_line
from sojourn.core.secret import Secret
from sojourn.core.standing import Severity, Standing, controls, replacement, severity
from sojourn.ports.provider import FindsStanding, Ref
from tests.providers.kits import Servers
from tests.providers.kits.kit import Kit
from tests.providers.kits.mysql import MariaKit
from tests.providers.kits.rabbitmq import RabbitKit, open_amqp
from tests.providers.kits.redis import RedisKit
from tests.providers.kits.ssh import SshKit
from tests.rig.poll import until_async
from tests.rig.sshd import USER

pytestmark = pytest.mark.anyio
MARK = secrets.token_hex(4)
PASSWORD = f"canary-{MARK}"
NOW = datetime.now(UTC)


async def found_by(kit: Kit, prefix: str = "sj_test_") -> dict[str, Standing]:
    """The findings by name; a secret is in none of them."""
    assert isinstance(kit.provider, FindsStanding)
    listed = await kit.provider.standing(prefix)
    assert PASSWORD not in repr(listed)
    return {one.name: one for one in listed}


@pytest.fixture(params=["mariadb", "mysql", "redis", "rabbitmq"])
async def kit(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Kit]:
    one = servers.kit(request.param)
    try:
        yield one
    finally:
        await one.close()


async def test_an_account_of_a_session_is_no_standing_access(kit: Kit) -> None:
    intent = kit.intent()
    issued = await kit.provider.issue(intent)

    with_prefix, without = await found_by(kit), await found_by(kit, "another_")
    await kit.provider.destroy(Ref(intent.handle, issued.target_id))

    assert not [name for name in with_prefix if name.startswith(intent.handle)]
    assert [name for name in without if name.startswith(intent.handle)]


async def test_the_admin_itself_is_found_with_its_last_use(kit: Kit) -> None:
    found = next(one for name, one in (await found_by(kit)).items() if name.startswith("governor"))

    # RabbitMQ's admin calls an API: no connection of it is there to be seen.
    used = found.last_used_at
    assert used is None if isinstance(kit, RabbitKit) else NOW - used < timedelta(days=1)  # type: ignore[operator]
    assert found.privileged and severity(found, NOW) is Severity.CRITICAL


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
async def test_mariadb_and_mysql_tell_age_and_rights(servers: Servers, kind: str) -> None:
    kit = cast(MariaKit, servers.kit(kind))
    rights = {"file": "FILE", "super": "SUPER", "create_user": "CREATE USER"}
    rights |= {"set_user": "SET USER"} if kind == "mariadb" else {"granting": "GRANT OPTION"}
    names = [f"{name}_{MARK}" for name in ("plain", "ending", "locked", *rights)]
    made = "".join(f"CREATE USER {name}@'10.%' IDENTIFIED BY '{PASSWORD}';" for name in names)
    made += "".join(f"GRANT {right} ON *.* TO {name}_{MARK}@'10.%';" for name, right in rights.items())
    made += f"GRANT SELECT, PROCESS ON *.* TO plain_{MARK}@'10.%'; CREATE ROLE role_{MARK};"
    made += f"ALTER USER ending_{MARK}@'10.%' PASSWORD EXPIRE INTERVAL 1 DAY;"
    kit.server.sql(made + f"ALTER USER locked_{MARK}@'10.%' ACCOUNT LOCK;")

    found = await found_by(kit)
    dropped = ", ".join(f"{name}@'10.%'" for name in names)
    kit.server.sql(f"DROP USER {dropped}; DROP ROLE role_{MARK};")
    await kit.close()

    ours = {name.split(f"_{MARK}")[0]: one for name, one in found.items() if MARK in name}
    plain, ending = ours["plain"], ours["ending"]
    assert ours.keys() == {"plain", "ending", *rights}
    assert {name for name, one in ours.items() if one.privileged} == set(rights)
    assert plain.created_at is not None and abs(plain.created_at - NOW) < timedelta(hours=1)
    assert plain.last_used_at is None
    assert ending.expires_at is None, "its holder only has to set another password"
    assert plain.owner_guess == f"plain_{MARK}" and severity(plain, NOW) is Severity.MEDIUM
    assert "NHI7:2025" in controls(plain, NOW)


async def test_redis_is_asked_itself_what_a_user_may(servers: Servers) -> None:
    kit = cast(RedisKit, servers.kit("redis"))
    rules = {
        "reader": ("on", "~*", "+@read"),
        "strong": ("on", "~*", "+@all"),
        "by_selector": ("on", "+get", "(+config ~*)"),
        "weakened": ("on", "~*", "+@all", "-@admin"),
        "off": ("off", "+@all"),
    }
    for name, words in rules.items():
        await kit.ask("ACL", "SETUSER", f"{name}_{MARK}", f">{PASSWORD}", *words)

    found = await found_by(kit)
    await kit.ask("ACL", "DELUSER", *(f"{name}_{MARK}" for name in rules))
    await kit.close()

    ours = {name.removesuffix(f"_{MARK}"): one for name, one in found.items() if MARK in name}
    assert ours.keys() == {"reader", "strong", "by_selector", "weakened"}
    assert {name for name, one in ours.items() if one.privileged} == {"strong", "by_selector"}
    assert ours["reader"].created_at is None and ours["reader"].last_used_at is None
    assert found["default"].privileged


async def test_rabbitmq_tells_who_is_connected(servers: Servers) -> None:
    kit = cast(RabbitKit, servers.kit("rabbitmq"))
    at_work, idle = f"work_{MARK}", f"idle_{MARK}"
    for name in (at_work, idle):
        await kit.root.put({"password": PASSWORD, "tags": "monitoring"}, "users", name)
        await kit.root.put({"configure": "", "write": "", "read": ""}, "permissions", "/", name)
    amqp = await open_amqp(kit.server.amqp_port, at_work, Secret(PASSWORD))

    async def seen() -> dict[str, Standing] | None:
        found = await found_by(kit)
        return found if found[at_work].last_used_at is not None else None

    found = await until_async(seen, within_s=20)  # an opened connection is listed by an event of its own
    amqp.hang_up()
    for name in (at_work, idle):
        await kit.root.delete("users", name)
    await kit.close()

    assert found is not None and found[idle].last_used_at is None
    assert abs(cast(datetime, found[at_work].last_used_at) - NOW) < timedelta(hours=1)
    assert not found[idle].privileged and severity(found[idle], NOW) is Severity.MEDIUM


async def test_a_host_lists_its_authorized_keys(servers: Servers) -> None:
    """Over the line there is: by whom, until when, and which of them signs for others."""
    kit = cast(SshKit, servers.kit("ssh"))
    folder = kit.folder / "keys"
    folder.mkdir()
    (kit.sshd.state / "authorized_keys_files").write_text(f"{folder}/%u {folder}/%u.pipe {folder} none\n")
    blob = [b64encode(b"\0\0\0\x0bssh-ed25519" + bytes([number]) * 32).decode() for number in range(3)]
    lines = (
        "# deployers",
        f"ssh-ed25519 {blob[0]} ada@laptop",
        f'expiry-time="20300101Z",command="echo a b" ssh-ed25519 {blob[1]}',
        f"cert-authority ssh-ed25519 {blob[2]} the authority",
        "root:x:0:0: no key at all",
    )
    (folder / USER).write_text("\n".join(lines))
    os.mkfifo(folder / f"{USER}.pipe")

    found = list((await found_by(kit)).values())
    (kit.sshd.state / "authorized_keys_files").unlink()
    await kit.close()

    assert [one.place.rpartition("/")[2] for one in found] == [f"{USER}:{number}" for number in (2, 3, 4)]
    assert [one.owner_guess for one in found] == ["ada@laptop", USER, "the authority"]
    assert found[1].expires_at == datetime(2030, 1, 1, tzinfo=UTC) and found[0].expires_at is None
    assert found[2].privileged and all(one.privileged for one in found) == (os.geteuid() == 0)
    assert all(one.created_at is not None and one.last_used_at is None for one in found)


def test_each_finding_becomes_a_charter_that_only_wants_names() -> None:
    for kind, grant in (("mysql_account", "database"), ("redis_user", "cache"), ("rabbitmq_user", "queues")):
        one = Standing(kind, "x://db", "legacy", owner_guess="ada", grants={grant: {"target": "shop"}})

        charter = replacement(one)

        assert charter["owner"] == "ada" and charter["grants"] == {grant: {"target": "shop"}}
        assert charter["clients"] == ["CHANGE-ME"]


@pytest.mark.parametrize("text", ["", "# ssh-ed25519 AAAA", "ssh-ed25519", "words of no key"])
async def test_what_is_no_key_is_no_finding(text: str) -> None:
    assert read_line(text) is None
