"""A handle that is too long for a name of MySQL's is found again by the name it got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast
from uuid import uuid4

import pytest

from sojourn.core.errors import Invalid
from sojourn.core.ids import LEASE, from_uuid
from sojourn.ports.provider import Presence, Ref
from sojourn.providers.mysql import MySQL
from sojourn.providers.mysql.dialect import MARIADB, MYSQL
from sojourn.providers.mysql.names import user_of, whose_handle
from tests.providers.kits import Servers
from tests.providers.kits.mysql import MySQLKit

_PREFIX = "sj_dev0_"
_HANDLE = f"{_PREFIX}06h1n54hp1pbd5atc4n9ods7v4"


def test_mysql_gets_a_name_of_32_characters_and_gives_the_handle_back() -> None:
    user = user_of(_HANDLE, MYSQL)

    assert (user, len(user)) == ("sjdev006h1n54hp1pbd5atc4n9ods7v4", 32)
    assert whose_handle(user, MYSQL) == _HANDLE


@pytest.mark.parametrize("handle", ["sj_dev0_canary_0e8c24c503a3", "sj_dev0_short", "other"])
def test_what_fits_stays_as_it_is(handle: str) -> None:
    assert user_of(handle, MYSQL) == whose_handle(handle, MYSQL) == handle


def test_mariadb_takes_a_handle_as_it_is() -> None:
    assert user_of(_HANDLE, MARIADB) == whose_handle(_HANDLE, MARIADB) == _HANDLE
    assert whose_handle(user_of(_HANDLE, MYSQL), MARIADB) != _HANDLE


def test_a_long_handle_that_could_not_be_put_back_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        user_of("sj_dev0_" + "a_b" * 10, MYSQL)

    assert refused.value.code == "bad_handle"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.remove()


@pytest.mark.anyio
async def test_a_real_handle_lives_and_dies_at_mysql(servers: Servers) -> None:
    kit = cast("MySQLKit", servers.kit("mysql"))
    handle = _PREFIX + from_uuid(LEASE, uuid4()).removeprefix(f"{LEASE}_")
    provider = cast("MySQL", kit.provider)
    kit.server.sql("CREATE USER sjdev0_stranger@'%' IDENTIFIED BY 'p'")
    try:
        issued = await provider.issue(replace(kit.intent(), handle=handle))
        found = await provider.inventory(_PREFIX)
        standing = {one.name.split("@")[0] for one in await provider.standing(_PREFIX)}
        located = await provider.locate(handle)
        await provider.destroy(Ref(handle, issued.target_id))
        seen = await provider.observe(Ref(handle, issued.target_id))
    finally:
        kit.server.sql("DROP USER sjdev0_stranger@'%'")
        await kit.close()

    assert [(one.handle, one.target_id) for one in found] == [(handle, user_of(handle, MYSQL))]
    assert located == issued.target_id == issued.connection["user"]
    assert issued.target_id not in standing and "sjdev0_stranger" in standing
    assert seen.presence is Presence.ABSENT
