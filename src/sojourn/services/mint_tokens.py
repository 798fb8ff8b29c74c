"""Access tokens for a session, one for each audience, and tokens for calling clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.binding import to_cnf
from sojourn.core.client import Client, Role
from sojourn.core.scope import Grants
from sojourn.core.session import Session
from sojourn.core.token import TYPE, describe, to_json
from sojourn.core.window import to_micros
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.keys import TokenSigner
from sojourn.ports.store import Mark

_LIFE: Final = timedelta(seconds=300)
_JTI_BYTES: Final = 16
_SECOND: Final = 1_000_000

SCOPES: Final = {Role.WORKLOAD: "sessions", Role.GUARD: "feed", Role.OPERATOR: "operate"}


@dataclass(frozen=True, slots=True)
class Token:
    """A signed token on its way to the one who may use it; never stored."""

    audience: str
    jwt: str
    expires_at: datetime
    scope: str

    def __repr__(self) -> str:
        return f"Token({self.audience}, ***)"


class MintTokens:
    """Signs what a session, as just read or committed, may show to its audiences."""

    def __init__(
        self,
        signer: TokenSigner,
        clock: Clock,
        entropy: Entropy,
        issuer: str,
        *,
        life: timedelta = _LIFE,
        usable: Callable[[Session, datetime], Grants] | None = None,
    ) -> None:
        self._usable = usable
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._life = life

    def __call__(self, session: Session, mark: Mark) -> tuple[Token, ...]:
        """One token for each audience of `session`, in the epoch of `mark`.

        The number in the token is the session's own, read before it was asked for: a kill by
        selector that was numbered later refuses every token it will ever get.
        """
        if self._usable is not None:  # policies may refuse single actions
            grants = self._usable(session, self._clock.now())
            session = session if grants is session.grants else replace(session, grants=grants)
        audiences = sorted({grant.audience for grant in session.grants.audiences})
        return tuple(self._access(session, audience, mark) for audience in audiences)

    def one(
        self,
        session: Session,
        audience: str,
        mark: Mark,
        *,
        only: frozenset[str] | None = None,
        may_act: str | None = None,
    ) -> Token:
        """A token for one audience, with no action but those in `only`; see `__call__` for `mark`.

        With `may_act` it can be exchanged for a child of that binding, and for no other child.
        """
        return self._access(session, audience, mark, only=only, may_act=may_act)

    def client_token(self, client: Client, *, key: str | None = None) -> Token:
        """A token by which `client` calls us, bound to its registered key, or to `key` if given."""
        now = self._clock.now()
        issued = to_micros(now) // _SECOND
        expires = issued + int(self._life.total_seconds())
        scope = SCOPES[client.role]
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": client.id,
            "client_id": client.id,
            "aud": self._issuer,
            "exp": expires,
            "iat": issued,
            "jti": self._entropy.token(_JTI_BYTES),
            "cnf": to_cnf(key or client.thumbprint),
            "scope": scope,
            "role": str(client.role),
        }
        jwt = self._signer.sign({"typ": TYPE}, claims)
        return Token(self._issuer, jwt, _floor(now + self._life), scope)

    def _access(
        self,
        session: Session,
        audience: str,
        mark: Mark,
        *,
        only: frozenset[str] | None = None,
        may_act: str | None = None,
    ) -> Token:
        claims = describe(
            session,
            audience,
            issuer=self._issuer,
            token_id=self._entropy.token(_JTI_BYTES),
            life=self._life,
            epoch=mark.epoch,
            mark=session.mark_n,
            now=self._clock.now(),
            only=only,
            may_act=may_act,
        )
        jwt = self._signer.sign({"typ": TYPE}, to_json(claims))
        return Token(audience, jwt, _floor(claims.expires_at), " ".join(sorted(claims.scope)))


def _floor(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
