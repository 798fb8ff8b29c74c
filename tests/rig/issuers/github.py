"""GitHub Actions as a job sees it: a token endpoint for the running job, closed when it is done.

Claims and id formats are those of `token.actions.githubusercontent.com`; the request address and
its bearer stand in the job's environment. A finished job is refused, as GitHub does.
"""

from __future__ import annotations

import secrets
import ssl
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.rig.issuers.issuer import Answer, Call, HttpsServer, Issuer, as_json

REPOSITORY_ID = "456789"
OWNER_ID = "123456"


@dataclass
class Job:
    """One attempt of one job of one workflow run."""

    run_id: str = field(default_factory=lambda: str(10_000_000_000 + secrets.randbelow(10**9)))
    run_attempt: str = "1"
    check_run_id: str = field(default_factory=lambda: str(40_000_000_000 + secrets.randbelow(10**9)))
    sha: str = field(default_factory=lambda: secrets.token_hex(20))
    ref: str = "refs/heads/main"
    event_name: str = "push"
    environment: str | None = "production"
    finished: bool = False
    request_token: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    more: dict[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        """What GitHub says of it, in its own formats: ids are text."""
        where = f"environment:{self.environment}" if self.environment else f"ref:{self.ref}"
        claims: dict[str, Any] = {
            "jti": str(uuid.uuid4()),
            "sub": f"repo:octo-org@{OWNER_ID}/shop@{REPOSITORY_ID}:{where}",
            "repository": "octo-org/shop",
            "repository_id": REPOSITORY_ID,
            "repository_owner": "octo-org",
            "repository_owner_id": OWNER_ID,
            "repository_visibility": "private",
            "run_id": self.run_id,
            "run_number": "17",
            "run_attempt": self.run_attempt,
            "check_run_id": self.check_run_id,
            "actor": "octocat",
            "actor_id": "583231",
            "workflow": "deploy",
            "workflow_ref": "octo-org/shop/.github/workflows/deploy.yml@refs/heads/main",
            "workflow_sha": self.sha,
            "job_workflow_ref": "octo-org/shop/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_sha": self.sha,
            "event_name": self.event_name,
            "ref": self.ref,
            "ref_type": "branch",
            "ref_protected": "true",
            "sha": self.sha,
            "base_ref": "",
            "head_ref": "",
            "runner_environment": "github-hosted",
        }
        return {**claims, **({"environment": self.environment} if self.environment else {}), **self.more}


class GitHub:
    """The issuer, and the endpoint that runners ask."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.issuer = Issuer(context)
        self.jobs: dict[str, Job] = {}
        # Runners are asked over HTTPS in the world; on loopback, our own client allows it in the clear.
        self.runner = HttpsServer(None)
        self.runner.routes["/_apis/pipelines/token"] = self._mint

    def start(self, job: Job | None = None) -> Job:
        """Begin a job."""
        started = job or Job()
        self.jobs[started.request_token] = started
        return started

    def environment_of(self, job: Job) -> dict[str, str]:
        """What the job finds in its environment with `permissions: id-token: write`."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.runner.url}/_apis/pipelines/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": job.request_token,
        }

    def token(self, job: Job, audience: str) -> str:
        """A fresh token of the job."""
        return self.issuer.sign({**self.issuer.stamp(audience), **job.claims()})

    def _mint(self, call: Call) -> Answer:
        job = self.jobs.get(call.headers.get("authorization", "").removeprefix("Bearer "))
        if self.issuer.down:
            return 503, {}, b""
        if job is None or job.finished:
            return as_json({"message": "The job has completed."}, 401)
        return as_json({"count": 1, "value": self.token(job, call.query.get("audience", "octo-org"))})

    def close(self) -> None:
        """Stop."""
        self.issuer.close()
        self.runner.close()
