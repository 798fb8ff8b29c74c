"""Evidence is found where a workload runs, goes to its server alone, and never to the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.client.evidence import (
    SECRET_VARIABLES,
    FileSource,
    GitHubSource,
    HeldSource,
    KeySource,
    Workload,
    without_evidence,
    workload_here,
)
from sojourn.client.profile import Profile, save_profile
from sojourn.client.signing import Es256Key
from sojourn.core.errors import Invalid, NotFound, Refused, Unavailable
from tests.rig.issuers.issuer import Answer, Call, HttpsServer, as_json

SERVER = "https://sojourn.example"
NAMED = {"SOJOURN_SERVER": SERVER, "SOJOURN_CLIENT": "deploy"}


class Runner:
    """The endpoint that a job of GitHub asks for its token."""

    def __init__(self) -> None:
        self.server = HttpsServer(None)
        self.answer: Answer = as_json({"value": "a.b.c"})
        self.calls: list[Call] = []
        self.server.routes["/token"] = self._answer

    @property
    def environ(self) -> dict[str, str]:
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.server.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-bearer",
        }

    def _answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return self.answer


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.server.close()


def test_a_job_of_github_asks_for_a_token_made_for_the_server(runner: Runner) -> None:
    workload = workload_here({**NAMED, **runner.environ})

    shown = workload.source.gather()

    assert shown == {"type": "github_actions", "assertion": "a.b.c", "client": "deploy"}
    assert workload.issuer == SERVER
    (call,) = runner.calls
    assert call.query == {"api-version": "2.0", "audience": SERVER}
    assert call.headers["authorization"] == "Bearer canary-bearer"
    assert "canary-bearer" not in repr(workload)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_token_says_that_the_job_is_over(runner: Runner, status: int) -> None:
    runner.answer = as_json({}, status)

    with pytest.raises(Refused) as refusal:
        workload_here({**NAMED, **runner.environ}).source.gather()
    assert refusal.value.code == "evidence_refused"


@pytest.mark.parametrize(
    "answer",
    [as_json({}, 500), as_json({}, 302), as_json({}), as_json([]), (200, {}, b"<html>"), (200, {}, b"")],
    ids=["broken", "moved", "empty", "a list", "html", "nothing"],
)
def test_an_unclear_answer_says_nothing_of_the_job(runner: Runner, answer: Answer) -> None:
    runner.answer = answer

    with pytest.raises(Unavailable) as trouble:
        workload_here({**NAMED, **runner.environ}).source.gather()
    assert trouble.value.code == "evidence_unavailable"


def test_the_bearer_is_not_sent_in_the_clear() -> None:
    far = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": "http://pipelines.example/token",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
    }

    with pytest.raises(Invalid) as refusal:
        workload_here({**NAMED, **far})
    assert refusal.value.code == "bad_issuer"


def test_a_job_of_gitlab_has_its_token_from_the_start() -> None:
    workload = workload_here({**NAMED, "SOJOURN_ID_TOKEN": "a.b.c"})

    assert workload.source == HeldSource("gitlab_ci", "a.b.c", "deploy")
    assert "a.b.c" not in repr(workload)


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    token = tmp_path / "token"
    workload = workload_here({**NAMED, "SOJOURN_EVIDENCE": f"kubernetes:{token}"})
    with pytest.raises(Unavailable):
        workload.source.gather()
    token.write_text("one\n")
    first = workload.source.gather()
    token.write_text("two\n")

    assert (first["assertion"], workload.source.gather()["assertion"]) == ("one", "two")
    assert first["type"] == "kubernetes"


def test_what_is_said_wins_over_what_is_found(tmp_path: Path, runner: Runner) -> None:
    environ = {**NAMED, **runner.environ, "SOJOURN_EVIDENCE": "oidc:/nowhere"}

    found = workload_here(environ, server="https://other.example", client="x", evidence="spiffe:/svid")

    assert found == Workload("https://other.example", FileSource("spiffe", Path("/svid"), "x"))
    assert isinstance(workload_here({**NAMED, **runner.environ}).source, GitHubSource)


def test_without_a_server_the_profile_stands_for_it(tmp_path: Path, runner: Runner) -> None:
    path, key = tmp_path / "workload.json", Es256Key.generate()
    save_profile(path, Profile(SERVER, "cli_1", "runner", "workload", key))
    environ = {"SOJOURN_PROFILE": str(path), **runner.environ}

    plain = workload_here(environ)
    named = workload_here({**NAMED, **environ}, profile=str(path))

    for found in (plain, named):
        assert found.issuer == SERVER and isinstance(found.source, KeySource)
        assert found.source.gather()["type"] == "private_key_jwt"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"SOJOURN_SERVER": SERVER}, "usage_client"),
        ({"SOJOURN_CLIENT": "deploy"}, "usage_client"),
        (NAMED, "no_evidence"),
        ({**NAMED, "SOJOURN_SERVER": "http://sojourn.example"}, "bad_issuer"),
        ({**NAMED, "SOJOURN_EVIDENCE": "kubernetes"}, "usage_evidence"),
        ({**NAMED, "SOJOURN_EVIDENCE": "github_actions:/x"}, "usage_evidence"),
        ({**NAMED, "SOJOURN_EVIDENCE": "private_key_jwt:/x"}, "usage_evidence"),
    ],
)
def test_what_cannot_be_meant_is_refused(environ: dict[str, str], code: str) -> None:
    with pytest.raises((Invalid, NotFound)) as refusal:
        workload_here(environ)
    assert refusal.value.code == code


def test_the_command_gets_none_of_the_variables() -> None:
    environ = {**dict.fromkeys(SECRET_VARIABLES, "canary"), "PATH": "/bin"}

    assert without_evidence(environ) == {"PATH": "/bin"}
