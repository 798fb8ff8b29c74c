"""Tokens of others, verified by the keys that their issuers publish (`ports.foreign_tokens`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography.x509 import Certificate

from sojourn.adapters.issuer_keys import IssuerKeys, Keys
from sojourn.core.errors import Unauthenticated
from sojourn.core.window import to_micros
from sojourn.jose import verify_foreign_token
from sojourn.jose.compact import take_apart
from sojourn.jose.svid import read_chain, verify_svid

_SVID: Final = tuple(f"{family}{bits}" for family in ("RS", "ES", "PS") for bits in (256, 384, 512))


X509_TYPE: Final = "x509-svid+jwt"
_ASSERTION_LIFE: Final = timedelta(seconds=120)


class SvidKeys(Protocol):
    """What trust domains vouch with."""

    async def keys(self, trust_domain: str, kid: str | None) -> Keys: ...
    async def roots(self, trust_domain: str) -> tuple[Certificate, ...]: ...


class PublishedTokens:
    """Verifies by whatever the named issuer, or trust domain, publishes now."""

    def __init__(self, issuers: IssuerKeys, trust_domains: SvidKeys) -> None:
        self._issuers, self._trust_domains = issuers, trust_domains

    async def verify(
        self, compact: str, *, issuer: str, audience: str, algorithms: Collection[str], now: datetime
    ) -> Mapping[str, object]:
        """The claims of a token that `issuer` made for `audience`."""
        keys = await self._issuers.keys(issuer, _kid(compact))
        return verify_foreign_token(
            compact, keys, issuer=issuer, audience=audience, algorithms=algorithms, now=now
        )

    async def verify_svid(
        self, compact: str, *, trust_domain: str, audience: str, now: datetime
    ) -> Mapping[str, object]:
        """The claims of a JWT-SVID; it need not name an issuer (JWT-SVID, section 3)."""
        keys = await self._trust_domains.keys(trust_domain, _kid(compact))
        return verify_foreign_token(
            compact,
            keys,
            issuer=None,
            audience=audience,
            algorithms=_SVID,
            now=now,
            types=("jwt", "jose"),
        )

    async def verify_x509_svid(
        self, compact: str, *, trust_domain: str, audience: str, now: datetime
    ) -> Mapping[str, object]:
        """The claims of an assertion signed with an X509-SVID's key, whose chain it carries."""
        header = take_apart(compact, "bad_token").header
        chain = read_chain(header.get("x5c"))
        roots = await self._trust_domains.roots(trust_domain)
        identity, key = verify_svid(chain, roots, trust_domain, now)
        claims = verify_foreign_token(
            compact,
            {_kid(compact): key},
            issuer=str(identity),
            audience=audience,
            algorithms=_SVID,
            now=now,
            types=(X509_TYPE,),
        )
        if header.get("typ") != X509_TYPE or claims.get("sub") != str(identity):
            raise Unauthenticated("bad_token", "the assertion is not one of the SVID that it carries")
        if float(str(claims["exp"])) > (to_micros(now + _ASSERTION_LIFE)) / 1_000_000:
            raise Unauthenticated("bad_token", "claim `exp` must lie ahead by at most 120 s")
        return claims


def _kid(compact: str) -> str:
    """The key that a token names: only looked up among those its issuer published, never followed."""
    kid = take_apart(compact, "bad_token").header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("bad_token", "header `kid` is missing or not a string")
    return kid
