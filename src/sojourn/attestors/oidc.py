"""Any OpenID Connect issuer: exact claims of its tokens, as the client's rule spells them.

What else its tokens say is unknown to us, and reported as such. Whether they are single-use is
not known either; a token is good while it has not expired.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable, named, read
from sojourn.attestors._tokens import client_of, require_match, require_sole_audience, telling_nothing
from sojourn.core.federation import AUDIENCE, ISSUER, OIDC
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.foreign_tokens import ForeignTokens
from sojourn.ports.store import Store

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
IGNORED: Final = frozenset({"jti", "azp", "auth_time", "at_hash", "nonce", "sid", "typ"})


class GenericOidc:
    """Recognises workloads of an issuer that has no attestor of its own."""

    def __init__(self, store: Store, tokens: ForeignTokens) -> None:
        self._store, self._tokens = store, tokens

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client whose rule the token spells.

        Raises:
            Unauthenticated: code `bad_evidence`, or a narrower one.
            Unavailable: code `issuer_unavailable`.
        """
        client = await client_of(self._store, evidence)
        with telling_nothing():
            claims = await self._tokens.verify(
                evidence.assertion,
                issuer=client.rule[ISSUER],
                audience=client.rule[AUDIENCE],
                algorithms=ALGORITHMS,
                now=now,
            )
        require_sole_audience(claims, client.rule[AUDIENCE])
        wanted = client.rule.keys() - {ISSUER, AUDIENCE}
        table = ClaimTable("oidc", required=named("sub", *sorted(wanted - {"sub"})), ignored=IGNORED)
        reading = read(table, claims)
        require_match(OIDC, client, reading)
        return Attestation(
            client,
            context=reading.facts,
            selectors=reading.facts,
            identity=reading.identity,
            unknown=reading.unknown,
        )
