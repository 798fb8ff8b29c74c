"""What a token is worth, for those who may ask (RFC 7662), and its end (RFC 7009).

A token is a session's; revoking it ends the session with everything below it.
"""

from __future__ import annotations

from sojourn.core.client import Client, Role
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused, Unauthenticated
from sojourn.core.ids import SessionId
from sojourn.core.token import AccessClaims
from sojourn.services._own_tokens import OwnTokens
from sojourn.services.end_session import EndSession


class InspectToken:
    """Says whether a token is honoured now."""

    def __init__(self, tokens: OwnTokens) -> None:
        self._tokens = tokens

    async def __call__(self, compact: str, asker: Client) -> AccessClaims | None:
        """The claims of a token that is honoured now, or None for every other reason alike.

        A guard learns of tokens for its own audience, a workload of its own, an operator of all.

        Raises:
            Unavailable: the store could not answer; nothing is said then.
        """
        try:
            claims = await self._tokens.living(compact)
        except Unauthenticated:
            return None
        return claims if _may_know(asker, claims) else None


class RevokeToken:
    """Ends the session behind a token."""

    def __init__(self, tokens: OwnTokens, end: EndSession) -> None:
        self._tokens = tokens
        self._end = end

    async def __call__(self, compact: str, *, client: Client | None = None, key: str | None = None) -> None:
        """End it at the word of its `client`, of an operator, or of the holder of its `key`.

        A token that is no token of ours, or has expired, is as good as revoked.

        Raises:
            Refused: code `unauthorized_client`; the token is somebody else's.
            Unavailable: the end may or may not have landed; the token is honoured until it has.
        """
        try:
            claims = self._tokens.verified(compact)
        except Unauthenticated:
            return
        await self._end(SessionId(claims.sid), _cause(claims, client, key))


def _may_know(asker: Client, claims: AccessClaims) -> bool:
    match asker.role:
        case Role.GUARD:
            return asker.audience == claims.audience
        case Role.WORKLOAD:
            return asker.id == claims.subject
        case Role.OPERATOR:
            return True


def _cause(claims: AccessClaims, client: Client | None, key: str | None) -> Cause:
    if client is not None and client.role is Role.OPERATOR:
        return Cause(Reason.KILLED, f"client:{client.name}", "its token was revoked")
    if (client is not None and client.id == claims.subject) or (client is None and key == claims.key):
        return Cause(Reason.COMPLETED, claims.subject, "its token was revoked")
    raise Refused("unauthorized_client", "the token was not issued to this client")
