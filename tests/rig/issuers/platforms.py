"""Every platform at once, and what the server's file says of each."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sojourn.client.evidence import FileSource, HeldSource, Workload, workload_here
from tests.rig.issuers.github import REPOSITORY_ID, GitHub
from tests.rig.issuers.github import Job as GitHubJob
from tests.rig.issuers.gitlab import PROJECT_ID, GitLab
from tests.rig.issuers.gitlab import Job as GitLabJob
from tests.rig.issuers.issuer import Issuer
from tests.rig.issuers.kubernetes import Cluster, Pod
from tests.rig.issuers.spire import TrustDomain
from tests.rig.issuers.tls import Authority
from tests.rig.system import OWNER, System

NAMES = ("gh", "gl", "pod", "svid")
SVID_PATH = "/ci/deploy"
FAULTS = ("down", "empty", "huge", "slow", "rotating", "reused")  # issuers that misbehave, one each


class Platforms:
    """GitHub, GitLab, a cluster and a trust domain, all on loopback over HTTPS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.github = GitHub(self.authority.server())
        self.gitlab = GitLab(self.authority.server())
        self.cluster = Cluster(self.authority.server())
        self.spire = TrustDomain("shop.example", folder, self.authority.server())
        self.pod = Pod()
        self.faulty = {name: Issuer(self.authority.server()) for name in FAULTS}
        self.unlisted = Issuer(self.authority.server())  # which the server's file does not name

    def tables(self) -> str:
        """What the server's file says: where each is, and how it may be asked."""
        reach = f'networks = ["127.0.0.0/8"]\nca = {json.dumps(str(self.authority.path))}\n'
        plain = (self.github.issuer, *self.faulty.values())
        written = "".join(f'[issuers."{one.url}"]\n{reach}' for one in plain)
        for platform in (self.gitlab, self.cluster):
            secret = self.folder / f"token-{id(platform)}"
            secret.touch(0o600)
            secret.write_text(platform.api_token)
            written += f'[issuers."{platform.issuer.url}"]\n{reach}'
            written += f"api = {json.dumps(platform.api)}\napi_token = {json.dumps(str(secret))}\n"
        return written + f'[trust_domains."shop.example"]\n{reach}endpoint = "{self.spire.endpoint}"\n'

    def register(self, system: System) -> None:
        """One client for each, none with a key."""
        pod = self.pod
        rules: dict[str, tuple[str, dict[str, str]]] = {
            "gh": (
                "github_actions",
                {
                    "issuer": self.github.issuer.url,
                    "repository_id": REPOSITORY_ID,
                    "environment": "production",
                },
            ),
            "gl": (
                "gitlab_ci",
                {
                    "issuer": self.gitlab.issuer.url,
                    "project_id": PROJECT_ID,
                    "ref_path": "refs/heads/main",
                },
            ),
            "pod": (
                "kubernetes",
                {
                    "issuer": self.cluster.issuer.url,
                    "namespace": pod.namespace,
                    "service_account": pod.account,
                    "service_account_uid": pod.account_uid,
                },
            ),
            "svid": ("spiffe", {"id": f"spiffe://shop.example{SVID_PATH}"}),
        }
        for name, (attestor, rule) in rules.items():
            body = {"name": name, "role": "workload", "owner": OWNER, "attestor": attestor, "rule": rule}
            system.operator.ask("POST", "/v1/clients", body)

    def job(self, system: System, job: GitHubJob | None = None) -> tuple[GitHubJob, Workload]:
        """A job of GitHub that runs, as itself."""
        started = self.github.start(job)
        environ = self.github.environment_of(started)
        return started, workload_here(environ, server=system.issuer, client="gh")

    def gitlab_job(self, system: System) -> tuple[GitLabJob, Workload]:
        """A job of GitLab that runs, with the token it was given."""
        job = self.gitlab.start()
        return job, self.gitlab_workload(system, job)

    def gitlab_workload(self, system: System, job: GitLabJob) -> Workload:
        """A GitLab job as itself; its token says what the job is now."""
        token = self.gitlab.token(job, system.issuer)
        return Workload(system.issuer, HeldSource("gitlab_ci", token, "gl"))

    def run_pod(self, system: System) -> tuple[Pod, Workload]:
        """A pod that runs, with its token in a file."""
        pod = self.cluster.run(Pod())
        path = self.folder / f"pod-{pod.uid}"
        path.write_text(self.cluster.token(pod, system.issuer))
        return pod, Workload(system.issuer, FileSource("kubernetes", path, "pod"))

    def workload(self, system: System) -> tuple[Path, Workload]:
        """A registered SPIFFE workload, with its SVID in a file that an agent keeps fresh."""
        path = self.folder / "svid.jwt"
        path.write_text(self.spire.svid(SVID_PATH, [system.issuer]))
        return path, Workload(system.issuer, FileSource("spiffe", path, "svid"))

    def any_workload(self, system: System, name: str) -> Workload:
        """The workload of the client `name`, just started."""
        match name:
            case "gh":
                return self.job(system)[1]
            case "gl":
                return self.gitlab_job(system)[1]
            case "pod":
                return self.run_pod(system)[1]
            case _:
                return self.workload(system)[1]

    def close(self) -> None:
        """Stop all."""
        for platform in (self.github, self.gitlab, self.cluster, self.spire):
            platform.close()
        for issuer in (*self.faulty.values(), self.unlisted):
            issuer.close()


@contextmanager
def running_platforms() -> Iterator[Platforms]:
    """All platforms, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sojourn-platforms-"))
    platforms = Platforms(folder)
    try:
        yield platforms
    finally:
        platforms.close()
        shutil.rmtree(folder, ignore_errors=True)
