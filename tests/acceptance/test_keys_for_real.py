"""Keys of a real server, turned by the real command, with a real guard before an API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.acceptance.shell import shell
from tests.cli.command import Sojourn
from tests.rig.calls import Holder
from tests.rig.flood import open_holders
from tests.rig.guards import GuardProgram, guards
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A control plane of its own."""
    with running(postgres) as system:
        yield system


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[GuardProgram]:
    """An API behind a guard."""
    with guards(system, 1, factory="examples.guarded_api:create") as (api,):
        yield api


@pytest.fixture(scope="module")
def sojourn(system: System) -> Iterator[Sojourn]:
    with shell(system) as command:
        yield command


def _keys(sojourn: Sojourn, purpose: str = "tokens") -> dict[str, str]:
    listed = json.loads(sojourn("keys", "ls", "--json").stdout)["keys"]
    return {key["state"]: key["kid"] for key in listed if key["purpose"] == purpose}


def _code(api: GuardProgram, holder: Holder) -> str:
    url = f"{api.base}/stock"
    answer = httpx2.get(url, headers=holder.headers("GET", url), trust_env=False, timeout=5)
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


def test_a_rotation_refuses_nobody_and_a_revocation_everybody(
    system: System, api: GuardProgram, sojourn: Sojourn
) -> None:
    before = _keys(sojourn)
    (holder,) = open_holders(system, 1)
    until(lambda: _code(api, holder) == "ok", within_s=15)

    assert sojourn("keys", "rotate").returncode == 0
    assert _keys(sojourn)["active"] == before["next"]
    (later,) = open_holders(system, 1)
    assert (_code(api, holder), _code(api, later)) == ("ok", "ok")  # by the old key, and by the new

    assert sojourn("keys", "revoke", before["next"]).returncode == 0
    revoked = time.monotonic()
    until(lambda: _code(api, later) != "ok", within_s=15)
    print(f"refused {time.monotonic() - revoked:.2f} s after the command")

    assert _code(api, later) in {"key_revoked", "bad_token"}
    assert _code(api, holder) == "ok"  # its token is by the key before
    (fresh,) = open_holders(system, 1)
    assert _code(api, fresh) == "ok"
    assert sojourn("keys", "revoke", "nobody").returncode == 12


def test_old_evidence_stays_good_under_the_key_that_was_pinned(system: System, sojourn: Sojourn) -> None:
    (holder,) = open_holders(system, 1)
    system.end(holder.session)
    told = json.loads(httpx2.get(f"{system.issuer}/.well-known/sojourn", trust_env=False).content)
    old = system.place / "old.bundle"
    until(lambda: sojourn("evidence", holder.session, "--out", str(old)).returncode == 0, within_s=20)

    assert sojourn("keys", "rotate", "checkpoints").returncode == 0
    new = system.place / "new.bundle"
    until(lambda: sojourn("evidence", holder.session, "--out", str(new)).returncode == 0, within_s=20)

    now = json.loads(httpx2.get(f"{system.issuer}/.well-known/sojourn", trust_env=False).content)
    assert now["log_vkeys"] == [now["log_vkey"], told["log_vkey"]]
    assert sojourn("verify", str(old), "--key", told["log_vkey"]).returncode == 0
    assert sojourn("verify", str(new), "--key", now["log_vkey"]).returncode == 0
    assert sojourn("verify", str(new), "--key", told["log_vkey"]).returncode == 4
