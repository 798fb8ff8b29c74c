"""private_key_jwt (RFC 7523): a client signs a short-lived assertion with its registered key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from sojourn.core.change import Once
from sojourn.core.client import Client
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.ids import CLIENT, ClientId, to_uuid
from sojourn.core.window import from_micros
from sojourn.jose import Es256Key
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.store import Store

TYPE: Final = "private_key_jwt"
MARK: Final = "assertion"
_GRACE: Final = timedelta(seconds=30)
"""How much longer than its own life a used `jti` is remembered: clocks differ."""


class VerifiedAssertion(Protocol):
    """What a verified assertion says."""

    @property
    def jti(self) -> str: ...

    @property
    def expires_at(self) -> int:
        """Seconds since 1970."""
        ...


class UnverifiedAssertion(Protocol):
    """An assertion that was taken apart and of which nothing is believed."""

    @property
    def claimed_client(self) -> str:
        """The client it says it is from: only to look its key up."""
        ...

    def verify(self, jwk: Mapping[str, str], now: datetime) -> VerifiedAssertion:
        """Check type, signature, issuer, subject, audience and life, for the client that it claims.

        Raises:
            Unauthenticated: code `bad_assertion`.
        """
        ...


class Verifier(Protocol):
    """Takes assertions apart; the cryptography lives with whoever implements it."""

    def open(self, compact: str) -> UnverifiedAssertion:
        """The assertion, taken apart.

        Raises:
            Unauthenticated: it is no assertion at all.
        """
        ...


class SignedJwt:
    """Recognises registered clients by their signed assertions, each of which serves once."""

    def __init__(self, store: Store, verifier: Verifier) -> None:
        self._store = store
        self._verifier = verifier
        self._nobody = Es256Key.generate().jwk  # whose private half is forgotten here and now

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client that signed, and the mark that makes its assertion single-use.

        Raises:
            Unauthenticated: code `bad_assertion`; an unknown client and a wrong signature read alike.
        """
        unverified = self._verifier.open(evidence.assertion)
        client = await self._known(unverified.claimed_client)
        # A stranger's assertion is checked like any other, against a key that signs nothing: words do
        # not tell who is registered, nor does the time of the check (a store may know a client by heart).
        jwk = client.jwk if client else self._nobody
        assertion = unverified.verify(jwk, now)
        if client is None:
            raise Unauthenticated("bad_assertion", "the signature does not verify")
        until = from_micros(assertion.expires_at * 1_000_000) + _GRACE
        return Attestation(client, once=(Once(MARK, f"{client.id}:{assertion.jti}", until),))

    async def _known(self, claimed: str) -> Client | None:
        try:
            to_uuid(CLIENT, claimed)
        except Invalid:
            return None
        client = await self._store.client(ClientId(claimed))
        if client is None or client.removed_at is not None or not client.jwk:
            return None
        return client
