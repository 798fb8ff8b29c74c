"""The negative corpus, and every surface that takes a token, set up with its keys and its instant.

A surface is asked as a stranger would: what it lets in is `ok`, all else the code of its refusal.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from joserfc.jwk import RSAKey

from sojourn.core.client import Role
from sojourn.core.errors import SojournError
from sojourn.core.proof import ath_of
from sojourn.core.revocation import Entry, Mark, Page, RevocationView
from sojourn.core.revocation import Kind as Selector
from sojourn.guard.verifier import Call, Rules, Verifier
from sojourn.jose import (
    EVENT,
    INTROSPECTION,
    STATUS_LIST,
    Es256Key,
    Kind,
    read_foreign_keys,
    sign_client_assertion,
    sign_proof,
    verify_foreign_token,
    verify_statement,
)
from tests.faces.samples import ISSUER, a_client
from tests.faces.world import World

HERE: Final = Path(__file__).resolve().parent.parent / "vectors" / "negative"
NOW: Final = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
AUDIENCE: Final = "https://shop.example"
URL: Final = "http://shop.example/stock"
CLIENT: Final = "cli_06f8k2q0000000000000000001"
FOREIGN: Final = "https://issuer.example"
KINDS: Final = ("access-token", "client-token", "proof", "assertion", "foreign-token")
_number = count()

Surface = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Negative:
    """One that must be refused, and why."""

    kind: str
    why: str
    compact: str


def negatives(*kinds: str) -> Iterable[Negative]:
    """Every file of those kinds."""
    for kind in kinds or KINDS:
        for place in sorted((HERE / kind).glob("*.json")):
            yield Negative(kind, place.stem, json.loads(place.read_text()))


def good(kind: str) -> str:
    """One that is accepted where it belongs."""
    return (HERE / "good" / f"{kind}.jwt").read_text().strip()


class Hands:
    """A guard's clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def mono(self) -> float:
        return 1000.0


@cache
def _keys() -> tuple[Mapping[str, Es256Key], RSAKey]:
    """Ours by name, and the foreign one; checking an RSA key takes longer than all else here."""
    stored = json.loads((HERE / "keys.json").read_text())
    foreign = RSAKey.import_key(stored.pop("foreign"))
    return {name: Es256Key.from_jwk(jwk) for name, jwk in stored.items()}, foreign


class Surfaces:
    """Everything that takes a token."""

    def __init__(self) -> None:
        self.keys, self.rsa = _keys()
        ours, purpose = self.keys["ours"], self.keys["introspection"]
        public = {**self.rsa.as_dict(private=False), "kid": "foreign"}
        self.foreign = read_foreign_keys({"keys": [public]})
        signers = ({**key.jwk, "kid": key.thumbprint} for key in (ours, purpose))
        self.statements = read_foreign_keys({"keys": [public, *signers]})
        self.guard = self._guard(ours, self.keys["revoked"])
        self.world = World()
        self.world.clock.time = NOW
        self.world.signer.key = ours
        client = a_client("fixed", Role.OPERATOR, self.keys["client"].public)
        object.__setattr__(client, "id", CLIENT)
        self.world.store.people[client.id] = client

    @staticmethod
    def _guard(*keys: Es256Key) -> Verifier:
        view = RevocationView()
        made = Verifier(Rules(ISSUER, AUDIENCE), view, Hands())
        made.trust({key.thumbprint: key.public for key in keys})
        over = (Entry(1, Selector.SESSION, "ses_over"), Entry(2, Selector.SIGNER, keys[1].thumbprint))
        view.apply(Page(Mark(1, 2), NOW, True, over), sent_at=1000.0, received_at=1000.0)
        return made

    def all(self) -> Mapping[str, Surface]:
        """Each surface by name."""
        return {
            "guard, token": self.guard_token,
            "guard, proof": self.guard_proof,
            "api, token": self.api_token,
            "api, proof": self.api_proof,
            "token endpoint, assertion": self.assertion,
            "token endpoint, proof": self.endpoint_proof,
            "open, evidence": self.evidence,
            "foreign token": self.foreign_token,
            "introspection answer": lambda it: self.statement(it, INTROSPECTION),
            "status list": lambda it: self.statement(it, STATUS_LIST),
            "event": lambda it: self.statement(it, EVENT),
        }

    async def guard_token(self, compact: str) -> str:
        return self._guarded(compact, self._proof("holder", "GET", URL, compact))

    async def guard_proof(self, compact: str) -> str:
        return self._guarded(good("access-token"), compact)

    def _guarded(self, token: str, proof: str) -> str:
        try:
            self.guard.check(Call("GET", URL, [f"DPoP {token}"], [proof], frozenset({"stock.read"})))
        except SojournError as error:
            return error.code
        return "ok"

    async def api_token(self, compact: str) -> str:
        proof = self._proof("client", "GET", ISSUER + "/v1/clients", compact)
        return await self._ask("GET", "/v1/clients", proof, token=compact)

    async def api_proof(self, compact: str) -> str:
        return await self._ask("GET", "/v1/clients", compact, token=good("client-token"))

    async def assertion(self, compact: str) -> str:
        return await self._token(compact, self._proof("client", "POST", ISSUER + "/oauth2/token"))

    async def endpoint_proof(self, compact: str) -> str:
        return await self._token(self._assertion(), compact)

    async def evidence(self, compact: str) -> str:
        body = {
            "evidence": {"type": "private_key_jwt", "assertion": compact},
            "task": {"kind": "a", "ref": "1"},
        }
        proof = self._proof("holder", "POST", ISSUER + "/v1/sessions")
        return await self._ask("POST", "/v1/sessions", proof, body=json.dumps(body).encode())

    async def foreign_token(self, compact: str) -> str:
        return _code(
            lambda: verify_foreign_token(
                compact, self.foreign, issuer=FOREIGN, audience=ISSUER, algorithms=["RS256"], now=NOW
            )
        )

    async def statement(self, compact: str, kind: Kind) -> str:
        return _code(lambda: verify_statement(compact, self.statements, kind, issuer=ISSUER))

    async def _token(self, assertion: str, proof: str) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        kind = "application/x-www-form-urlencoded"
        return await self._ask("POST", "/oauth2/token", proof, body=urlencode(form).encode(), kind=kind)

    def _assertion(self) -> str:
        return sign_client_assertion(self.keys["client"], CLIENT, ISSUER, NOW, jti=f"a{next(_number)}")

    def _proof(self, key: str, method: str, url: str, token: str | None = None) -> str:
        ath = None if token is None else ath_of(token)
        return sign_proof(self.keys[key], method, url, NOW, jti=f"p{next(_number)}", ath=ath)

    async def _ask(
        self,
        method: str,
        path: str,
        proof: str,
        *,
        token: str | None = None,
        body: bytes = b"",
        kind: str = "application/json",
    ) -> str:
        """Raw octets to the app: no client in between that would refuse to send them."""
        headers = [(b"dpop", _octets(proof)), (b"content-type", kind.encode())]
        if token is not None:
            headers.append((b"authorization", b"DPoP " + _octets(token)))
        if body:
            headers.append((b"content-length", str(len(body)).encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "headers": headers, "scheme": "http",
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8787), "root_path": "",
        }  # fmt: skip
        status, content = 0, b""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, content
            status = message.get("status", status)
            content += message.get("body", b"")

        await self.world.app(scope, receive, send)
        if status < 400:
            return "ok"
        assert status < 500, (status, content)
        said = json.loads(content)
        return str(said.get("code", said.get("error")))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _code(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except SojournError as error:
        return error.code
    return "ok"
