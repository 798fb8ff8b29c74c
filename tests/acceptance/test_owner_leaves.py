"""Lifecycle by owner: whoever leaves takes sessions, callers and what charters may open along."""

from __future__ import annotations

import pytest

from sojourn.client.jsonfacts import members
from sojourn.core.errors import SojournError
from tests.acceptance.shell import shell
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import API_GRANT, OWNER, System, running

pytestmark = pytest.mark.timeout(120)


def test_nothing_of_an_owner_is_left_after_it_was_offboarded(postgres: PostgresServer) -> None:
    with running(postgres) as system:
        live = system.open("1")
        counted = system.operator.ask("POST", "/v1/offboardings", {"owner": OWNER, "dry_run": True}).json()
        assert "runner" in str(counted["clients"]) and live.beat().state == "active"

        system.operator.ask("POST", "/v1/offboardings", {"owner": OWNER, "detail": "left"})

        ended = system.look(live.id, until_ended_s=20)
        assert (ended.state, ended.reason) == ("ended", "owner_left")
        assert until(lambda: not system.roles(), within_s=10)
        with pytest.raises(SojournError, match="session_ended"):
            live.beat()
        with pytest.raises(SojournError):
            system.open("2", grants=[API_GRANT])
        assert until(lambda: _all_finished(system), within_s=10)


def test_a_client_is_removed_by_its_name_with_all_it_opened(postgres: PostgresServer) -> None:
    with running(postgres) as system, shell(system) as sojourn:
        live = system.open("1")

        removed, again = sojourn("client", "rm", "runner"), sojourn("client", "rm", "runner")

        assert removed.returncode == 0, removed.stderr
        assert again.returncode != 0 and "`sojourn client ls` shows them" in again.stderr
        ended = system.look(live.id, until_ended_s=20)
        assert (ended.state, ended.reason) == ("ended", "killed")
        assert until(lambda: not system.roles() and _all_finished(system), within_s=10)
        with pytest.raises(SojournError):
            system.open("2", grants=[API_GRANT])


def _all_finished(system: System) -> bool:
    kills = members(system.operator.ask("GET", "/v1/kills").json(), "kills")
    return bool(kills) and all(one["state"] == "finished" for one in kills)
