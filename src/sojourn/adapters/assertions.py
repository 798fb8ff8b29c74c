"""Client assertions, taken apart for one issuer: what the attestor of registered clients is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sojourn.core.errors import Unauthenticated
from sojourn.jose import ClientAssertion, VerifyKey, peek_client, verify_client_assertion


@dataclass(frozen=True, slots=True)
class Assertions:
    """Takes client assertions apart, for this issuer (`attestors.signed_jwt.Verifier`)."""

    issuer: str

    def peek_client(self, compact: str) -> str:
        """The client an assertion says it is from, unverified."""
        return peek_client(compact)

    def verify(
        self, compact: str, jwk: Mapping[str, str], *, client_id: str, now: datetime
    ) -> ClientAssertion:
        """A verified assertion of `client_id`."""
        if not jwk:
            raise Unauthenticated("bad_assertion", "the client is registered with a certificate only")
        return verify_client_assertion(
            compact, VerifyKey.from_jwk(jwk), self.issuer, client_id=client_id, now=now
        )
