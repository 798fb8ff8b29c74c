"""A release job whose access dies with the pipeline: the webhook is heard, and everything is gone."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request

import pytest

from sojourn.client.jsonfacts import Json, text
from sojourn.client.session import LiveSession
from sojourn.core.errors import SojournError
from tests.acceptance.attested import opened
from tests.acceptance.login import lets_in
from tests.rig.issuers.github import REPOSITORY_ID, Job
from tests.rig.issuers.platforms import NAMES, Platforms
from tests.rig.system import DATABASE_GRANT, TARGET, System

RUN_ID = "10000000007"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def system(attested: System) -> System:
    """A control plane that hears a repository."""
    grants = {DATABASE_GRANT: {"target": TARGET, "template": "readonly"}}
    attested.apply_charter(name="release", clients=list(NAMES), grants=grants, ends_on=["github_webhook"])
    return attested


def _open(system: System, platforms: Platforms, attempt: str) -> LiveSession:
    job = Job(run_id=RUN_ID, run_attempt=attempt)
    return opened(system, platforms.job(system, job)[1], "release")


def _post(url: str, secret: str, *, action: str = "completed", attempt: int = 1) -> tuple[int, Json]:
    run = {"id": int(RUN_ID), "run_attempt": attempt, "status": action, "conclusion": "success"}
    raw = json.dumps(
        {"action": action, "repository": {"id": int(REPOSITORY_ID)}, "workflow_run": run}
    ).encode()
    signed = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "workflow_run"}
    request = urllib.request.Request(url, raw, {**headers, "X-Hub-Signature-256": f"sha256={signed}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_token_and_the_role_die_with_the_pipeline(system: System, platforms: Platforms) -> None:
    added = system.operator.ask("POST", "/v1/triggers", {"name": "ci", "kind": "github_webhook"}).json()
    url, secret = text(added, "url"), text(added, "secret")
    first, second = _open(system, platforms, "1"), _open(system, platforms, "2")
    assert lets_in(first.credentials[0]) and lets_in(second.credentials[0])

    assert _post(url, "not the secret")[1]["code"] == "bad_signature"
    assert _post(url, secret, action="in_progress") == (200, {"ended": 0})
    assert _post(url, secret) == (200, {"ended": 1})

    ended = system.look(first.id, until_ended_s=20)
    assert (ended.state, ended.reason) == ("ended", "job_finished")
    with pytest.raises(SojournError, match="session_ended"):
        first.beat()
    assert not lets_in(first.credentials[0])
    assert lets_in(second.credentials[0]) and second.beat().state == "active"
    assert _post(url, secret) == (200, {"ended": 0}), "a replay changes nothing"
    second.complete()


def test_a_session_of_a_run_that_was_reported_over_does_not_open(
    system: System, platforms: Platforms
) -> None:
    added = system.operator.ask("POST", "/v1/triggers", {"name": "late", "kind": "github_webhook"}).json()
    url, secret = text(added, "url"), text(added, "secret")
    assert _post(url, secret, attempt=3) == (200, {"ended": 0})

    with pytest.raises(SojournError, match="session_ended"):
        _open(system, platforms, "3")
