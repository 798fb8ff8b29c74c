"""Verifies tokens that others have signed, and asks their platforms whether the work goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol


class ForeignTokens(Protocol):
    """Signature, issuer, audience and lifetime of tokens by keys that the issuer publishes."""

    async def verify(
        self, compact: str, *, issuer: str, audience: str, algorithms: Collection[str], now: datetime
    ) -> Mapping[str, object]:
        """The claims, out of the very bytes that were signed.

        Keys come from `issuer` as the caller names it, never from what the token says.

        Raises:
            Unauthenticated: codes `bad_token`, `expired`, `wrong_audience`, `unknown_kid`.
            Unavailable: code `issuer_unavailable`; its keys cannot be had now.
        """
        ...

    async def verify_svid(
        self, compact: str, *, trust_domain: str, audience: str, now: datetime
    ) -> Mapping[str, object]:
        """The claims of a JWT-SVID, by the bundle of `trust_domain` and no other.

        Raises:
            As `verify`.
        """
        ...

    async def verify_x509_svid(
        self, compact: str, *, trust_domain: str, audience: str, now: datetime
    ) -> Mapping[str, object]:
        """The claims of an assertion that the holder of an X509-SVID of `trust_domain` signed.

        Its `sub` is the id in the certificate, and it lives at most two minutes.

        Raises:
            As `verify`.
        """
        ...


class Platforms(Protocol):
    """Asks a cluster or a forge about one of its own workloads."""

    def asks(self, issuer: str) -> bool:
        """Whether the platform behind `issuer` can be asked."""
        ...

    async def review(self, issuer: str, token: str, audience: str) -> Mapping[str, str]:
        """What a cluster says of a service-account token now (TokenReview), by fact name.

        Raises:
            Refused: code `job_finished`; the pod, or its account, is no more.
            Unavailable: code `platform_unavailable`; nobody answered, or not clearly.
        """
        ...

    async def require_running(self, issuer: str, project: str, job: str) -> None:
        """Ask a forge whether the job still runs.

        Raises:
            As `review`.
        """
        ...
