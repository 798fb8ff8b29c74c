"""GitLab CI: the id token of a job, made once when the job starts and good until its timeout.

Showing it again says nothing new, so a job is asked about at GitLab itself where the server's
file says how; without that, no charter may demand fresh evidence of it. A token's lifetime is
never taken for ours.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable, named
from sojourn.attestors._tokens import Kind, recognise
from sojourn.core.federation import GITLAB, ISSUER
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens, Platforms
from sojourn.ports.store import Store

TABLE: Final = ClaimTable(
    prefix="gitlab",
    required=named("project_id", "job_id"),
    pinned=named("pipeline_id", "sha", "ref_path", "environment", "ci_config_sha", "runner_id"),
    optional=named(
        "namespace_id",
        "namespace_path",
        "project_path",
        "project_visibility",
        "user_id",
        "user_login",
        "user_access_level",
        "pipeline_source",
        "ref",
        "ref_type",
        "ref_protected",
        "environment_protected",
        "deployment_tier",
        "environment_action",
        "deployment_action",
        "runner_environment",
        "ci_config_ref_uri",
        "job_source",
        "job_policy_ref_uri",
        "job_project_id",
        "job_namespace_id",
    ),
    ignored=frozenset(
        {
            "sub",
            "jti",
            "user_email",
            "user_identities",
            "groups_direct",
            "job_project_path",
            "job_namespace_path",
        }
    ),
)
KIND: Final = Kind(TABLE, GITLAB, ("RS256",))


class GitLabCi:
    """Recognises jobs of GitLab CI."""

    def __init__(self, store: Store, tokens: ForeignTokens, platforms: Platforms) -> None:
        self._store, self._tokens, self._platforms = store, tokens, platforms

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule the job fits, if the job still runs as far as can be asked.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Refused: code `job_finished`.
            Unavailable: codes `issuer_unavailable`, `platform_unavailable`.
        """
        found = await recognise(self._store, self._tokens, evidence, now, kind=KIND)
        issuer, facts = found.client.rule[ISSUER], found.reading.facts
        asks = self._platforms.asks(issuer)
        if asks:
            await self._platforms.require_running(issuer, facts["gitlab.project_id"], facts["gitlab.job_id"])
        return Attestation(
            found.client,
            context=facts,
            selectors=facts,
            identity=found.reading.identity,
            pinned=found.reading.pinned,
            unknown=found.reading.unknown,
            run=" ".join((issuer, facts["gitlab.project_id"], facts["gitlab.job_id"])),
            lasting=asks,
        )
