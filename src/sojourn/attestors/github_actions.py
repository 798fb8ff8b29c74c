"""GitHub Actions: the OIDC token of a job, each of which serves once.

One run attempt of one job opens one session. GitHub mints tokens for a job only while it runs,
so a fresh one at each beat says that the job goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable, named
from sojourn.attestors._tokens import Kind, recognise
from sojourn.core.federation import GITHUB, ISSUER
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens
from sojourn.ports.store import Store

TABLE: Final = ClaimTable(
    prefix="github",
    required=named("repository_id", "run_id", "run_attempt", "check_run_id"),
    pinned=named("sha", "ref", "environment", "workflow_sha", "job_workflow_sha", "runner_environment"),
    optional=named(
        "repository",
        "repository_owner",
        "repository_owner_id",
        "repository_visibility",
        "enterprise_id",
        "workflow_ref",
        "job_workflow_ref",
        "event_name",
        "ref_type",
        "ref_protected",
        "actor",
        "actor_id",
        "run_number",
        "base_ref",
        "head_ref",
    ),
    ignored=frozenset({"sub", "jti", "workflow", "enterprise", "environment_node_id", "issuer_scope"}),
    families=("repo_property_",),
)
KIND: Final = Kind(TABLE, GITHUB, ("RS256",))
MARK: Final = "github_jti"


class GitHubActions:
    """Recognises jobs of GitHub Actions."""

    def __init__(self, store: Store, tokens: ForeignTokens) -> None:
        self._store, self._tokens = store, tokens

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule the job fits; its token serves once.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Unavailable: code `issuer_unavailable`.
        """
        found = await recognise(self._store, self._tokens, evidence, now, kind=KIND)
        facts = found.reading.facts
        ids = (facts[f"github.{claim}"] for claim in TABLE.required)
        return Attestation(
            found.client,
            once=(found.once(MARK),),
            context=facts,
            selectors=facts,
            identity=found.reading.identity,
            pinned=found.reading.pinned,
            unknown=found.reading.unknown,
            run=" ".join((found.client.rule[ISSUER], *ids)),
        )
