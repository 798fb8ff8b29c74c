"""With the server down, its database alone is enough to end a session."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.shell import shell
from tests.rig.postgres import PostgresServer
from tests.rig.system import Plan, System, running


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[System]:
    """A system on each store."""
    with running(postgres, Plan(store=request.param, settings={"issue_fence": 1.0})) as system:
        yield system


def test_a_session_ended_offline_is_destroyed_at_the_next_start(system: System) -> None:
    live = system.open()
    system.kill()

    with shell(system) as sojourn:
        done = sojourn(
            "session", "kill", live.id, "--offline", "--config", str(system.place / "sojourn.toml"), "--json"
        )
    held = system.roles()
    system.start()
    ended = system.look(live.id, until_ended_s=20)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "revoking"
    assert len(held) == 1  # nothing but the database was touched
    assert (ended.state, ended.reason) == ("ended", "killed")
    assert system.roles() == []
