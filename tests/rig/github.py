"""GitHub's REST API for apps, as its pages describe it: three routes, and its ways to fail."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.rig.http_simulator import Asked, Said, Simulator, said

APP: Final = "Iv23liTestApp"
INSTALLATION: Final = 4711
_LIFE_S: Final = 3600
_HELD: Final = {"contents": "write", "issues": "write", "metadata": "read"}
_REPOSITORIES: Final = ("shop", "docs")
_LEVELS: Final = ("read", "write")


@dataclass
class Token:
    """One installation token."""

    text: str
    ends_at: float
    permissions: dict[str, str]
    repositories: list[str]
    revoked_at: float | None = None
    used_at: list[float] = field(default_factory=list)


class GitHub(Simulator):
    """One app with one installation."""

    lie = Said(204)
    throttled = said(403, {"message": "You have exceeded a secondary rate limit"}, Retry_After="60")

    def __init__(self, key: RSAKey) -> None:
        super().__init__()
        self._key = key
        self.tokens: dict[str, Token] = {}
        self.widens = False

    def answer(self, asked: Asked) -> Said:
        """Route by method and path."""
        if not asked.headers.get("user-agent"):
            return said(403, {"message": "a user agent is required"})
        match asked.method, asked.path:
            case "POST", ("app", "installations", number, "access_tokens"):
                return self._mint(asked, number)
            case "DELETE", ("installation", "token"):
                return self._revoke(asked.bearer)
            case "GET", ("installation", "repositories"):
                return self._list(asked.bearer)
            case _:
                return said(404, {"message": "Not Found"})

    def honoured(self, text: str) -> Token | None:
        """The token of that text, while it works; the lag of a revocation is part of it."""
        token = self.tokens.get(text)
        if token is None or self.now() >= token.ends_at:
            return None
        if token.revoked_at is not None and self.now() >= token.revoked_at + self.lag_s:
            return None
        return token

    def _mint(self, asked: Asked, number: str) -> Said:
        if not self._is_the_app(asked.bearer):
            return said(401, {"message": "A JSON web token could not be decoded"})
        if number != str(INSTALLATION):
            return said(404, {"message": "Not Found"})
        wish = asked.json()
        asked_for, wanted = wish.get("permissions"), wish.get("repositories")
        assert isinstance(asked_for, dict) and isinstance(wanted, list)
        too_much = [n for n, level in asked_for.items() if not _within(level, _HELD.get(n))]
        if too_much or any(name not in _REPOSITORIES for name in wanted):
            return said(422, {"message": "The permissions requested are not granted to this installation"})
        given = dict(_HELD) if self.widens else {**asked_for, "metadata": "read"}
        token = Token(f"ghs_{secrets.token_hex(18)}", self.now() + _LIFE_S, given, wanted)
        self.tokens[token.text] = token
        ends = datetime.fromtimestamp(token.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return said(
            201,
            {
                "token": token.text,
                "expires_at": ends,
                "permissions": given,
                "repository_selection": "selected",
                "repositories": [{"name": name} for name in wanted],
            },
        )

    def _is_the_app(self, assertion: str) -> bool:
        try:
            claims = jwt.decode(assertion, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError, json.JSONDecodeError):
            return False
        now = self.now()
        fresh = claims["iat"] <= now < claims["exp"] <= claims["iat"] + 60 + 600
        return bool(claims["iss"] == APP and fresh)

    def _revoke(self, text: str) -> Said:
        token = self.tokens.get(text)
        if token is None or token.revoked_at is not None or self.now() >= token.ends_at:
            return said(401, {"message": "Bad credentials"})
        token.revoked_at = self.now()
        return Said(204)

    def _list(self, text: str) -> Said:
        token = self.honoured(text)
        if token is None:
            return said(401, {"message": "Bad credentials"})
        token.used_at.append(self.now())
        return said(200, {"total_count": len(token.repositories)})


def _within(level: object, held: str | None) -> bool:
    return held is not None and level in _LEVELS and _LEVELS.index(str(level)) <= _LEVELS.index(held)
