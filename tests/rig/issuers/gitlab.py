"""GitLab CI: id tokens made when a job starts, and the API that knows whether it still runs.

Ids are text, booleans are text, `runner_id` is a number, and a token lives as long as the job may.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass, field
from typing import Any

from tests.rig.issuers.issuer import Answer, Call, Issuer, as_json

PROJECT_ID = "278964"


@dataclass
class Job:
    """One job of one pipeline."""

    job_id: str = field(default_factory=lambda: str(10_000_000 + secrets.randbelow(10**6)))
    pipeline_id: str = "5551"
    sha: str = field(default_factory=lambda: secrets.token_hex(20))
    ref_path: str | None = "refs/heads/main"
    pipeline_source: str = "push"
    environment: str | None = "production"
    status: str = "running"
    more: dict[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        """What GitLab says of it."""
        claims: dict[str, Any] = {
            "sub": "project_path:shop/api:ref_type:branch:ref:main",
            "jti": secrets.token_hex(16),
            "namespace_id": "72",
            "namespace_path": "shop",
            "project_id": PROJECT_ID,
            "project_path": "shop/api",
            "user_id": "1",
            "user_login": "ada",
            "user_email": "ada@example.org",
            "pipeline_id": self.pipeline_id,
            "pipeline_source": self.pipeline_source,
            "job_id": self.job_id,
            "ref": "main",
            "ref_type": "branch",
            "ref_path": self.ref_path,
            "ref_protected": "true",
            "runner_id": 12,
            "runner_environment": "gitlab-hosted",
            "sha": self.sha,
            "ci_config_ref_uri": "gitlab.example/shop/api//.gitlab-ci.yml@refs/heads/main",
            "ci_config_sha": self.sha,
            "project_visibility": "private",
        }
        if self.environment:
            claims |= {"environment": self.environment, "environment_protected": "true"}
        return {**claims, **self.more}


class GitLab:
    """The instance: issuer and API."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.issuer = Issuer(context)
        self.api = f"{self.issuer.url}/api/v4"
        self.api_token = secrets.token_urlsafe(20)
        self.jobs: dict[str, Job] = {}
        self.api_down = False

    def start(self, job: Job | None = None) -> Job:
        """Begin a job."""
        started = job or Job()
        self.jobs[started.job_id] = started
        path = f"/api/v4/projects/{PROJECT_ID}/jobs/{started.job_id}"
        self.issuer.server.routes[path] = self._job
        return started

    def token(self, job: Job, audience: str) -> str:
        """The id token that the job finds in its environment; good for its whole timeout."""
        return self.issuer.sign({**self.issuer.stamp(audience, life_s=3600), **job.claims()})

    def _job(self, call: Call) -> Answer:
        if self.api_down:
            return 502, {}, b""
        if call.headers.get("authorization") != f"Bearer {self.api_token}":
            return as_json({"message": "401 Unauthorized"}, 401)
        job = self.jobs.get(call.path.rpartition("/")[2])
        if job is None:
            return as_json({"message": "404 Not found"}, 404)
        return as_json({"id": int(job.job_id), "status": job.status})

    def close(self) -> None:
        """Stop."""
        self.issuer.close()
