"""A release job whose access dies with the pipeline: the webhook is heard, and everything is gone."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from sojourn.client.jsonfacts import text
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.core.errors import SojournError
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

RUN = {"github.repository_id": "42", "github.run_id": "7", "github.run_attempt": "1"}
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A control plane that hears a repository."""
    with running(postgres) as system:
        system.apply_charter(ends_on=["github_webhook"])
        yield system


def _open(system: System, attempt: str) -> LiveSession:
    context = {**RUN, "github.run_attempt": attempt}
    return open_session(
        system.workload, Wish("demo", f"release-{attempt}", context=context), transport=system.transport
    )


def _post(url: str, secret: str, *, action: str, status: str = "completed") -> tuple[int, dict[str, object]]:
    run = {"id": 7, "run_attempt": 1, "status": status, "conclusion": "success"}
    raw = json.dumps({"action": action, "repository": {"id": 42}, "workflow_run": run}).encode()
    signed = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "workflow_run"}
    request = urllib.request.Request(url, raw, {**headers, "X-Hub-Signature-256": f"sha256={signed}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_token_and_the_role_die_with_the_pipeline(system: System) -> None:
    added = system.operator.ask("POST", "/v1/triggers", {"name": "ci", "kind": "github_webhook"}).json()
    url, secret = text(added, "url"), text(added, "secret")
    first, second = _open(system, "1"), _open(system, "2")
    assert len(system.roles()) == 2

    assert _post(url, "not the secret", action="completed")[1]["code"] == "bad_signature"
    assert _post(url, secret, action="in_progress", status="in_progress") == (200, {"ended": 0})
    assert _post(url, secret, action="completed") == (200, {"ended": 1})

    ended = system.look(first.id, until_ended_s=20)
    assert (ended.state, ended.reason) == ("ended", "job_finished")
    with pytest.raises(SojournError, match="session_ended"):
        first.beat()
    assert len(system.roles()) == 1 and second.beat().state == "active"
    assert _post(url, secret, action="completed") == (200, {"ended": 0}), "a replay changes nothing"
    with pytest.raises(SojournError, match="session_ended"):
        _open(system, "1")
