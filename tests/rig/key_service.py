"""A made-up API that hands out keys by name: what any in-house service might look like."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tests.rig.http_simulator import Asked, Said, Simulator, said

ADMIN: Final = "admin-key-of-the-tests"


@dataclass
class Key:
    """One key, and who used it when."""

    id: str
    name: str
    secret: str
    expires_at: float
    works_until: float
    used_at: list[float] = field(default_factory=list)


class KeyService(Simulator):
    """`/v1/keys`: create by POST, list, look, delete; `/v1/work` is what a key is for."""

    lie = said(200, {})

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, Key] = {}
        self.gone: list[Key] = []

    def answer(self, asked: Asked) -> Said:
        """Route by method and path."""
        match asked.method, asked.path:
            case "POST", ("v1", "work"):
                return self._work(asked.bearer)
            case _ if asked.bearer != ADMIN:
                return said(401)
            case "POST", ("v1", "keys"):
                return self._create(asked.json())
            case "GET", ("v1", "keys"):
                wanted = asked.query.get("name", "")
                found = [one for one in self.keys.values() if one.name.startswith(wanted)]
                return said(200, {"keys": [{"id": one.id, "name": one.name} for one in found]})
            case "GET", ("v1", "keys", number):
                return said(200, {"id": number}) if number in self.keys else said(404)
            case "DELETE", ("v1", "keys", number):
                return self._delete(number)
            case _:
                return said(404)

    def honoured(self, secret: str) -> Key | None:
        """The key of that secret, while it works; lag is part of it."""
        every = [*self.keys.values(), *self.gone]
        now = self.now()
        return next((k for k in every if k.secret == secret and now < min(k.expires_at, k.works_until)), None)

    def _work(self, secret: str) -> Said:
        key = self.honoured(secret)
        if key is None:
            return said(401)
        key.used_at.append(self.now())
        return said(200, {"done": True})

    def _create(self, wish: dict[str, object]) -> Said:
        name = str(wish["name"])
        if any(one.name == name for one in self.keys.values()):
            return said(409)
        ends = datetime.fromisoformat(str(wish["expires"])).timestamp()
        key = Key(secrets.token_hex(6), name, secrets.token_urlsafe(16), ends, float("inf"))
        self.keys[key.id] = key
        return said(201, {"key": {"id": key.id, "token": key.secret}, "scope": wish.get("scope")})

    def _delete(self, number: str) -> Said:
        key = self.keys.pop(number, None)
        if key is None:
            return said(404)
        key.works_until = self.now() + self.lag_s
        self.gone.append(key)
        return said(204)


def description(base: str, **other: object) -> dict[str, object]:
    """How the service is described to the provider."""
    return {
        "base": base,
        "revocation_class": "A",
        "keep_secret": True,
        "create": {
            "method": "POST",
            "path": "/v1/keys",
            "body": {"name": "{handle}", "expires": "{expires_at}", "scope": "{template.scope}"},
            "id": "/key/id",
            "secret": "/key/token",
        },
        "delete": {"method": "DELETE", "path": "/v1/keys/{id}"},
        "check": {"method": "GET", "path": "/v1/keys/{id}"},
        "find": {
            "method": "GET",
            "path": "/v1/keys",
            "query": {"name": "{handle}"},
            "items": "/keys",
            "id": "/id",
            "handle": "/name",
        },
        "probe": {
            "method": "POST",
            "path": "/v1/work",
            "headers": {"Authorization": "Bearer {secret}"},
            "absent": [401],
        },
        "connection": {"url": f"{base}/v1/work"},
        **other,
    }
