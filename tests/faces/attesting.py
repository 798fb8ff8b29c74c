"""`private_key_jwt` in the tests of the face, by the real signatures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sojourn.core.change import Once
from sojourn.core.errors import Unauthenticated
from sojourn.jose import VerifyKey, claimed_client, open_client_assertion, verify_client_assertion
from sojourn.ports.attestor import Attestation, Evidence
from tests.faces.samples import ISSUER

if TYPE_CHECKING:
    from tests.faces.scripted import MemoryStore


@dataclass(frozen=True)
class JwtAttestor:
    """`private_key_jwt` by the real signatures."""

    store: MemoryStore

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        opened = open_client_assertion(evidence.assertion)
        client = self.store.people.get(claimed_client(opened))
        if client is None or client.removed_at is not None:
            raise Unauthenticated("bad_assertion", "unknown client")
        key = VerifyKey.from_jwk(client.jwk)
        read = verify_client_assertion(opened, key, ISSUER, client_id=client.id, now=now)
        return Attestation(
            client, (Once("assertion", f"{client.id}:{read.jti}", now + timedelta(minutes=3)),)
        )
