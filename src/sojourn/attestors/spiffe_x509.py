"""SPIFFE: X509-SVIDs, shown by signing a short assertion with the SVID's key (RFC 7515, `x5c`).

The chain is judged by the authorities of the trust domain that the client's rule names, and by no
other. The assertion is made for us alone, lives at most two minutes and serves once, so a copied
one is worth nothing without the key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable, read
from sojourn.attestors._tokens import (
    client_of,
    mark_of,
    require_match,
    require_sole_audience,
    telling_nothing,
)
from sojourn.core.federation import AUDIENCE, SPIFFE
from sojourn.core.spiffe_id import SpiffeId
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens
from sojourn.ports.store import Store

TABLE: Final = ClaimTable("spiffe", required={"sub": "id"}, ignored=frozenset({"jti"}))
MARK: Final = "svid_jti"


class SpiffeX509:
    """Recognises workloads by the keys of their X509-SVIDs."""

    def __init__(self, store: Store, tokens: ForeignTokens) -> None:
        self._store, self._tokens = store, tokens

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule names the SVID's id; its assertion serves once.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Unavailable: code `issuer_unavailable`; the bundle cannot be had now.
        """
        client = await client_of(self._store, evidence, attestor="spiffe")
        identity = SpiffeId.parse(client.rule["id"])
        with telling_nothing():
            claims = await self._tokens.verify_x509_svid(
                evidence.assertion,
                trust_domain=identity.trust_domain,
                audience=client.rule[AUDIENCE],
                now=now,
            )
        require_sole_audience(claims, client.rule[AUDIENCE])
        reading = read(TABLE, claims)
        require_match(SPIFFE, client, reading)
        return Attestation(
            client,
            once=(mark_of(claims, MARK, str(identity)),),
            context=reading.facts,
            selectors=reading.facts,
            identity=reading.identity,
            unknown=reading.unknown,
        )
