"""Mutual TLS: a client that is registered with a certificate is recognised by it (RFC 8705, section 2).

That the caller holds the private key was shown by TLS, to us or to a proxy whose word counts. The
certificate is judged anew each time: one that was renewed under the same name goes on, one that
expired or whose client was removed is out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.attestors._claims import ClaimTable
from sojourn.attestors._tokens import named, no_client
from sojourn.core.client import Role
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.ports.certificates import Certificates
from sojourn.ports.store import Store

TYPE: Final = "mtls"
TABLE: Final = ClaimTable(
    "mtls", required={"client": "client"}, optional={"subject": "subject", "x5t#S256": "x5t"}
)


class MutualTls:
    """Recognises clients by the certificates of their connections."""

    def __init__(self, store: Store, certificates: Certificates) -> None:
        self._store, self._certificates = store, certificates

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """The client that the evidence names, if the certificate is what it is registered with.

        Raises:
            Unauthenticated: code `bad_evidence`, the same words for every reason.
        """
        client = await named(self._store, evidence.client)
        if (
            client is None
            or client.removed_at is not None
            or client.role is not Role.WORKLOAD
            or evidence.certificate is None
            or not self._certificates.match(
                client.certificate, evidence.certificate, now, chain=evidence.chain
            )
        ):
            raise no_client()
        seen = self._certificates.tell(evidence.certificate)
        facts = {"mtls.client": client.name, **{f"mtls.{name}": value for name, value in seen.items()}}
        return Attestation(client, context=facts, selectors=facts, identity=frozenset({"mtls.client"}))
