"""SPIFFE: JWT-SVIDs, by the bundle of the trust domain that the client's rule names.

An SVID is reusable by design, short-lived, and renewed by its agent only while the workload is
registered. The name of its trust domain is taken from the rule, so that no other domain's bundle
can ever vouch for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable, read
from sojourn.attestors._tokens import client_of, require_match, require_sole_audience, telling_nothing
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.federation import AUDIENCE, SPIFFE
from sojourn.core.spiffe_id import SpiffeId
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens
from sojourn.ports.store import Store

TABLE: Final = ClaimTable("spiffe", required={"sub": "id"}, ignored=frozenset({"jti"}))


class Spiffe:
    """Recognises workloads by their SVIDs."""

    def __init__(self, store: Store, tokens: ForeignTokens) -> None:
        self._store, self._tokens = store, tokens

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule names the SVID's id.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Unavailable: code `issuer_unavailable`; the bundle cannot be had now.
        """
        client = await client_of(self._store, evidence)
        domain = SpiffeId.parse(client.rule["id"]).trust_domain
        with telling_nothing():
            claims = await self._tokens.verify_svid(
                evidence.assertion, trust_domain=domain, audience=client.rule[AUDIENCE], now=now
            )
        require_sole_audience(claims, client.rule[AUDIENCE])
        reading = read(TABLE, claims)
        _require_workload(reading.facts["spiffe.id"])
        require_match(SPIFFE, client, reading)
        return Attestation(
            client,
            context=reading.facts,
            selectors=reading.facts,
            identity=reading.identity,
            unknown=reading.unknown,
        )


def _require_workload(text: str) -> None:
    """Refuse a subject that is no SPIFFE ID, or the trust domain itself (JWT-SVID, section 3.1)."""
    try:
        identity = SpiffeId.parse(text)
    except Invalid as error:
        raise Unauthenticated("bad_evidence", "claim `sub` is no SPIFFE ID") from error
    if not identity.path:
        raise Unauthenticated("bad_evidence", "a trust domain is no workload")
