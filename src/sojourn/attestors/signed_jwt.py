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


class Verifier(Protocol):
    """Takes assertions apart; the cryptography lives with whoever implements it."""

    def peek_client(self, compact: str) -> str:
        """The client an assertion says it is from, unverified.

        Raises:
            Unauthenticated: it is no assertion at all.
        """
        ...

    def verify(
        self, compact: str, jwk: Mapping[str, str], *, client_id: str, now: datetime
    ) -> VerifiedAssertion:
        """Check type, signature, issuer, subject, audience and life.

        Raises:
            Unauthenticated: code `bad_assertion`.
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
        claimed = self._verifier.peek_client(evidence.assertion)
        client = await self._known(claimed)
        # A stranger's assertion is checked like any other, against a key that signs nothing: neither
        # words nor time tell who is registered.
        jwk = client.jwk if client else self._nobody
        assertion = self._verifier.verify(evidence.assertion, jwk, client_id=claimed, now=now)
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
