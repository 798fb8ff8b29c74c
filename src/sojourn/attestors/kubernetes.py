"""Kubernetes: the projected token of a service account, bound to a pod.

Its signature says who was made, not who is: a deleted pod's token verifies until it expires.
So the cluster itself is asked (TokenReview) where the server's file says how, and what it says
of the pod must be what the token says. Such tokens are reusable by design.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable
from sojourn.attestors._tokens import Kind, Recognised, recognise
from sojourn.core.errors import Refused
from sojourn.core.federation import AUDIENCE, ISSUER, KUBERNETES
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens, Platforms
from sojourn.ports.store import Store

TABLE: Final = ClaimTable(
    prefix="kubernetes",
    required={
        "kubernetes.io/namespace": "namespace",
        "kubernetes.io/serviceaccount/name": "service_account",
        "kubernetes.io/serviceaccount/uid": "service_account_uid",
        "kubernetes.io/pod/uid": "pod_uid",
    },
    pinned={"kubernetes.io/node/uid": "node_uid"},
    optional={"kubernetes.io/pod/name": "pod", "kubernetes.io/node/name": "node"},
    ignored=frozenset({"sub", "jti", "kubernetes.io/warnafter"}),
)
KIND: Final = Kind(TABLE, KUBERNETES, ("RS256", "ES256", "ES384", "ES512", "PS256"))
IMAGE: Final = "kubernetes.image"


class Kubernetes:
    """Recognises pods by the tokens of their service accounts."""

    def __init__(self, store: Store, tokens: ForeignTokens, platforms: Platforms) -> None:
        self._store, self._tokens, self._platforms = store, tokens, platforms

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule the pod fits, if its cluster still knows it.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Refused: code `job_finished`; the pod is gone, or has done its work.
            Unavailable: codes `issuer_unavailable`, `platform_unavailable`.
        """
        found = await recognise(self._store, self._tokens, evidence, now, kind=KIND)
        asks = self._platforms.asks(found.client.rule[ISSUER])
        facts = await self._reviewed(found, evidence) if asks else found.reading.facts
        return Attestation(
            found.client,
            context=facts,
            selectors=facts,
            identity=found.reading.identity,
            pinned=found.reading.pinned | {IMAGE},
            unknown=found.reading.unknown,
            lasting=asks,
        )

    async def _reviewed(self, found: Recognised, evidence: Evidence) -> dict[str, str]:
        rule, facts = found.client.rule, dict(found.reading.facts)
        seen = await self._platforms.review(rule[ISSUER], evidence.assertion, rule[AUDIENCE])
        for name in sorted(seen.keys() & facts.keys()):
            if seen[name] != facts[name]:
                raise Refused("job_finished", f"the cluster knows another `{name}` by this token")
        return {**seen, **facts}
