"""Accounts that no session made are listed, ours are not, and what is worst about them is said."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from sojourn.ports.provider import FindsStanding
from tests.providers.postgresql.conftest import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
async def names(bench: Bench) -> AsyncIterator[dict[str, str]]:
    mark = secrets.token_hex(4)
    names = {kind: f"{kind} {mark}" for kind in ("legacy", "strong", "ending", "group")}
    await bench.root.execute(f'CREATE ROLE "{names["legacy"]}" LOGIN')
    await bench.root.execute(f'COMMENT ON ROLE "{names["legacy"]}" IS $$team orders$$')
    await bench.root.execute(f'CREATE ROLE "{names["strong"]}" LOGIN IN ROLE pg_read_all_data')
    await bench.root.execute(f'CREATE ROLE "{names["ending"]}" LOGIN VALID UNTIL $$2030-01-01Z$$')
    await bench.root.execute(f'CREATE ROLE "{names["group"]}" NOLOGIN')
    yield names
    for name in names.values():
        await bench.root.execute(f'DROP ROLE "{name}"')


async def test_standing_roles_are_told_from_those_of_sessions(bench: Bench, names: dict[str, str]) -> None:
    made = await bench.issue()
    assert isinstance(bench.provider, FindsStanding)

    found = {one.name: one for one in await bench.provider.standing(made.handle)}
    await bench.provider.destroy(made.ref)

    assert made.handle not in found and names["group"] not in found
    assert found[names["legacy"]].owner_guess == "team orders" and not found[names["legacy"]].privileged
    assert found[names["strong"]].privileged
    assert found[names["ending"]].expires_at is not None and found[names["legacy"]].expires_at is None
    assert found["postgres"].privileged
