"""Client assertions, taken apart for one issuer: what the attestor of registered clients is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sojourn.core.errors import Unauthenticated
from sojourn.jose import (
    ClientAssertion,
    Parts,
    VerifyKey,
    claimed_client,
    open_client_assertion,
    verify_client_assertion,
)


@dataclass(frozen=True, slots=True)
class OpenedAssertion:
    """An assertion that was taken apart once (`attestors.signed_jwt.UnverifiedAssertion`)."""

    issuer: str
    parts: Parts
    claimed_client: str

    def verify(self, jwk: Mapping[str, str], now: datetime) -> ClientAssertion:
        """A verified assertion of the client that it claims."""
        if not jwk:
            raise Unauthenticated("bad_assertion", "the client is registered with a certificate only")
        key = VerifyKey.from_jwk(jwk)
        return verify_client_assertion(self.parts, key, self.issuer, client_id=self.claimed_client, now=now)


@dataclass(frozen=True, slots=True)
class Assertions:
    """Takes client assertions apart, for this issuer (`attestors.signed_jwt.Verifier`)."""

    issuer: str

    def open(self, compact: str) -> OpenedAssertion:
        """The assertion, taken apart; nothing in it is verified."""
        parts = open_client_assertion(compact)
        return OpenedAssertion(self.issuer, parts, claimed_client(parts))
