"""A whole system over a cloud that honours a token for a while after it was revoked.

The server is killed in between: what only the token itself can revoke is revoked all the same.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import httpx2
import pytest
from joserfc.jwk import RSAKey

from sojourn.client.jsonfacts import Json, members
from sojourn.ledger.verdict import Verdict
from sojourn.ledger.verify import verify
from tests.rig.github import APP, INSTALLATION, GitHub
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import OWNER, System, running

GRANT: Final = "code"
LAG_S: Final = 6.0


@pytest.mark.timeout(180)
def test_a_token_is_a_residual_while_it_works_and_is_gone_when_it_is_refused(
    postgres: PostgresServer,
) -> None:
    key = RSAKey.generate_key(2048, private=True)
    with GitHub(key) as github, running(postgres) as system:
        add_github(system, github, key)
        live = system.open(grants=[GRANT])
        token = live.credentials[0].secret.reveal()
        assert works(github, token)
        assert sealed(system) == 1 and token.encode() not in everything_stored(system)

        system.restart()
        github.lag_s = LAG_S
        system.end(live.id)
        until(lambda: system.leases(live.id)[0]["residual"] is not None, within_s=20)
        left = system.leases(live.id)[0]["residual"]
        assert isinstance(left, dict) and left["owner"] == OWNER and left["until"] is not None
        assert str(left["place"]).startswith("github: GitHub")
        assert system.look(live.id).state == "revoking"
        during = evidence(system, live.id)

        ended = system.look(live.id, until_ended_s=25)
        lease = system.leases(live.id)[0]
        after = evidence(system, live.id)

        assert not works(github, token)
        assert ended.state == "ended" and lease["residual"] is None
        assert lease["method"] == "3 refused uses of the token"
        assert sealed(system) == 0
    assert any("residual of" in remark and OWNER in remark for remark in during.remarks), during
    assert not during.ended and after.ended and after.failed is None


def add_github(system: System, github: GitHub, key: RSAKey) -> None:
    body = {
        "name": "github",
        "provider": "github_app",
        "settings": {"app": APP, "installation": INSTALLATION, "api": github.base},
        "templates": {"docs": {"repositories": ["docs"], "permissions": {"contents": "read"}}},
        "secret": key.as_pem(private=True).decode(),
    }
    system.operator.ask("POST", "/v1/targets", body)
    answer = system.operator.ask("POST", "/v1/targets/github/preflight", {}, wait_s=45).json()
    checks: tuple[Json, ...] = members(answer, "checks")
    assert checks and all(check.get("ok") for check in checks), checks
    system.apply_charter(grants={GRANT: {"target": "github", "template": "docs"}})


def works(github: GitHub, token: str) -> bool:
    told = {"Authorization": f"Bearer {token}"}
    place = f"{github.base}/installation/repositories"
    return httpx2.get(place, headers=told, trust_env=False).status_code == 200


def evidence(system: System, session: str) -> Verdict:
    verdict = verify(system.operator.ask("GET", f"/v1/sessions/{session}/evidence").body)
    assert verdict.failed is None, verdict
    return verdict


def sealed(system: System) -> int:
    """How many secrets of leases the database keeps."""
    with sqlite3.connect(f"file:{database(system)}?mode=ro", uri=True) as line:
        (count,) = line.execute("SELECT count(*) FROM sealed WHERE name LIKE 'lease:%'").fetchone()
    return int(count)


def everything_stored(system: System) -> bytes:
    place = database(system)
    return b"".join(one.read_bytes() for one in place.parent.glob(f"{place.name}*"))


def database(system: System) -> Path:
    return system.place / "state" / "sojourn.sqlite3"
