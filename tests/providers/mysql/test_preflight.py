"""What preflight says of a MariaDB or MySQL that cannot be governed, and that what it says helps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import cast

import pytest

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Check, Presence, Ref
from sojourn.providers.mysql import wire
from sojourn.providers.mysql.dialect import MARIADB, MYSQL, Dialect
from tests.providers.kits import Servers
from tests.providers.kits.mysql import MariaKit

pytestmark = pytest.mark.anyio

_PREFIX = "sj_pre_"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.remove()


@pytest.fixture(params=["mariadb", "mysql"])
async def kit(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[MariaKit]:
    one = cast("MariaKit", servers.kit(request.param))
    yield one
    await one.close()


async def failed(kit: MariaKit) -> list[Check]:
    return [one for one in await kit.provider.preflight(_PREFIX) if not one.ok]


async def test_what_is_missing_is_named_and_mends_it(kit: MariaKit) -> None:
    kit.server.sql(f"REVOKE {_dialect(kit).readable} FROM governor@'127.0.0.1'")

    (found,) = await failed(kit)
    kit.server.sql(found.mend)

    assert found.name == "privileges"
    assert await failed(kit) == []


async def test_an_admin_that_cannot_see_others_never_says_that_they_are_gone(kit: MariaKit) -> None:
    """Without PROCESS a process list is short, and says no word of it."""
    intent = kit.intent()
    ref = Ref(intent.handle, (issued := await kit.provider.issue(intent)).target_id)
    kit.server.sql("REVOKE PROCESS ON *.* FROM governor@'127.0.0.1'")
    blind = kit.through(kit.port)
    async with kit.at_work(issued, tasks=1, every=0.02):
        with pytest.raises(TargetError) as refused:
            await blind.destroy(ref)
        with pytest.raises(TargetError):
            await blind.observe(ref)
        (found,) = [one for one in await blind.preflight(_PREFIX) if not one.ok]
        kit.server.sql(found.mend)

        await blind.destroy(ref)
        seen = await blind.observe(ref)

    left = await kit.survivors(intent.handle)
    await blind.close()
    assert (refused.value.code, refused.value.sent) == ("missing_privilege", False)
    assert (seen.presence, left) == (Presence.ABSENT, 0)


async def test_a_server_that_is_read_only_is_no_target(kit: MariaKit) -> None:
    kit.server.sql("SET GLOBAL read_only = 1")
    try:
        (found,) = await failed(kit)
    finally:
        kit.server.sql("SET GLOBAL read_only = 0")

    assert (found.name, found.detail) == ("connect", "the server is read-only")


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        (replace(MYSQL, oldest=(99, 0)), "8.0.15"),
        (replace(MYSQL, brand="tidb.*"), "is not MySQL"),
        (replace(MYSQL, unfit=(("SELECT 1", "a member of a group", "no"),)), "a member of a group"),
    ],
    ids=["too old", "an imitation", "a group"],
)
async def test_a_server_that_only_speaks_alike_is_refused(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, other: Dialect, detail: str
) -> None:
    kit = cast("MariaKit", servers.kit("mysql"))
    monkeypatch.setattr(wire, "dialect_of", lambda _greeting: other)

    (found,) = await failed(kit)
    await kit.close()

    assert found.name == "connect" and found.mend
    assert detail in found.detail


def _dialect(kit: MariaKit) -> Dialect:
    return MARIADB if kit.name == "mariadb" else MYSQL
