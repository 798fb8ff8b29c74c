"""A thief copies whole requests off the wire and sends them again: here, at another node, after a restart."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from sojourn.adapters.file_keys import FileKeys
from sojourn.config import Settings
from sojourn.core.client import Client, Role
from sojourn.core.fingerprint import fingerprint
from sojourn.core.proof import ath_of
from sojourn.jose import Es256Key, sign_client_assertion, sign_proof
from sojourn.wiring import Deployment
from tests.rig.store import Place, new_database, running_postgres

pytestmark = pytest.mark.anyio
ISSUER = "https://sojourn.example"
CHARTER = {
    "name": "demo",
    "owner": "own",
    "clients": ["runner"],
    "grants": {"orders": {"audience": "https://api.example", "actions": ["read"]}},
    "duration": {"default": "10m", "longest": "10m"},
    "beat": {"every": "60s", "missed_after": "3m"},
    "renewals": {"times": 0, "by": "2m"},
}


@dataclass
class Sent:
    """A request as it was on the wire."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes = b""


@dataclass
class Theft:
    """A request of a thief, and what in it is stolen."""

    sent: Sent
    shown: str


@dataclass
class Node:
    """One server of a deployment."""

    deployment: Deployment

    async def send(self, sent: Sent, address: str = "127.0.0.1") -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.deployment.app, client=(address, 50_000))
        async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
            return await http.request(sent.method, sent.path, headers=sent.headers, content=sent.content)


@dataclass
class Town:
    """A deployment of one node or more, and what went over its wires."""

    place: Place
    folder: Path
    nodes: list[Node] = field(default_factory=list)
    seen: list[Sent] = field(default_factory=list)
    assertions: list[str] = field(default_factory=list)
    number: int = 0
    operator: tuple[Client, Es256Key] = field(init=False)
    first: int = 0
    keys: FileKeys | None = None

    async def open(self) -> Node:
        keys = self.keys or FileKeys(self.folder / "keys")
        store, calendars = await self.place.open(), self.folder / "calendars"
        node = Node(await Deployment(store, Settings(ISSUER), keys, calendars).prepare())
        self.nodes.append(node)
        return node

    async def restart(self) -> Node:
        for node in self.nodes:
            await node.deployment.stop()
        self.nodes = []
        return await self.open()

    def proof(self, key: Es256Key, method: str, path: str, token: str | None = None) -> str:
        self.number += 1
        now = self.nodes[0].deployment.clock.now()
        ath = None if token is None else ath_of(token)
        return sign_proof(key, method, ISSUER + path, now, jti=f"j{self.number}", ath=ath)

    async def say(self, sent: Sent) -> Any:
        """An honest request, which the thief sees."""
        answer = await self.nodes[0].send(sent)
        assert answer.status_code < 300, answer.text
        self.seen.append(sent)
        return answer.json()

    async def enrol(self, name: str, role: Role) -> tuple[Client, Es256Key]:
        key = Es256Key.generate()
        audience = "https://api.example" if role is Role.GUARD else None
        verbs = self.nodes[0].deployment.verbs
        return await verbs.register_client(
            name=name, role=role, owner="own", jwk=key.jwk, audience=audience
        ), key

    async def token(self, client: Client, key: Es256Key) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(client, key),
        }
        headers = {
            "DPoP": self.proof(key, "POST", "/oauth2/token"),
            "Content-Type": FORM,
        }
        answer = await self.say(Sent("POST", "/oauth2/token", headers, urlencode(form).encode()))
        token: str = answer["access_token"]
        return token

    def assertion(self, client: Client, key: Es256Key) -> str:
        self.number += 1
        now = self.nodes[0].deployment.clock.now()
        made = sign_client_assertion(key, client.id, ISSUER, now, jti=f"a{self.number}")
        self.assertions.append(made)
        return made

    def secrets(self) -> set[str]:
        """What no log may hold."""
        headers = (one.headers for one in self.seen)
        shown = {one[name].removeprefix("DPoP ") for one in headers for name in SECRET if name in one}
        return shown | set(self.assertions)

    async def as_client(self, token: str, key: Es256Key, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"DPoP {token}", "DPoP": self.proof(key, method, path, token)}
        return await self.say(_with_body(Sent(method, path, headers), body))

    async def as_session(self, key: Es256Key, method: str, path: str, body: object = None) -> Any:
        return await self.say(_with_body(Sent(method, path, {"DPoP": self.proof(key, method, path)}), body))

    async def live(self) -> None:
        """A little of everything that a deployment does."""
        operator, operator_key = await self.enrol("op", Role.OPERATOR)
        guard, guard_key = await self.enrol("api", Role.GUARD)
        runner, runner_key = await self.enrol("runner", Role.WORKLOAD)
        token = await self.token(operator, operator_key)
        await self.as_client(token, operator_key, "PUT", "/v1/charters", CHARTER)
        await self.as_client(token, operator_key, "GET", "/v1/clients")
        await self.as_client(token, operator_key, "GET", "/v1/keys")
        await self.as_client(
            await self.token(guard, guard_key), guard_key, "POST", "/v1/feed", {"mark": None}
        )
        key = Es256Key.generate()
        evidence = {"type": "private_key_jwt", "assertion": self.assertion(runner, runner_key)}
        wish = {"task": {"kind": "demo", "ref": "1"}, "evidence": evidence}
        opened = await self.as_session(key, "POST", "/v1/sessions", wish)
        path = f"/v1/sessions/{opened['session']['id']}"
        await self.as_session(key, "GET", path)
        await self.as_session(key, "POST", path + "/beat", {})
        await self.as_client(token, operator_key, "GET", path)
        await self.as_client(token, operator_key, "POST", path + "/suspend", {})
        self.operator, self.first = (operator, operator_key), len(self.seen)

    async def go_on(self) -> None:
        """More honest requests, so that what is stolen is of this minute and not merely too old."""
        client, key = self.operator
        token = await self.token(client, key)
        for path in ("/v1/clients", "/v1/keys", "/v1/sessions"):
            await self.as_client(token, key, "GET", path)
        self.seen = self.seen[: self.first] + self.seen[self.first :][-FRESH:]
        self.assertions = self.assertions[-FRESH:]

    def stolen(self, kind: str, dice: random.Random) -> Theft:
        """One of the copied requests, as it was or bent to use what it held otherwise."""
        match kind:
            case "token":
                return self._with_token(dice)
            case "proof":
                return self._with_proof(dice)
            case "cookie":
                return self._with_cookie(dice)
            case _:
                return self._with_assertion(dice)

    def _with_token(self, dice: random.Random) -> Theft:
        """With a proof by the thief's own key, without any, or as if it were a bearer token."""
        sent = dice.choice([one for one in self.seen if "Authorization" in one.headers])
        headers, held = dict(sent.headers), sent.headers["Authorization"]
        token = held.removeprefix("DPoP ")
        match dice.randrange(3):
            case 0:
                headers["DPoP"] = self.proof(THIEF, sent.method, sent.path, token)
            case 1:
                del headers["DPoP"]
            case _:
                headers["Authorization"] = held = f"Bearer {token}"
        return Theft(Sent(sent.method, sent.path, headers, sent.content), held)

    def _with_proof(self, dice: random.Random) -> Theft:
        """Byte for byte, at another address, or beside what another request holds."""
        sent, other = dice.choice(self.seen), dice.choice(self.seen)
        proof, headers = sent.headers["DPoP"], dict(sent.headers)
        match dice.randrange(4):
            case 0:
                return Theft(Sent(other.method, other.path, headers, other.content), proof)
            case 1:
                mixed = {**other.headers, "DPoP": proof}
                return Theft(Sent(other.method, other.path, mixed, other.content), proof)
            case _:
                return Theft(Sent(sent.method, sent.path, headers, sent.content), proof)

    def _with_cookie(self, dice: random.Random) -> Theft:
        """What a browser would send by itself: nothing here ever takes a cookie for a caller."""
        sent = dice.choice(self.seen)
        secret = sent.headers.get("Authorization", sent.headers["DPoP"]).removeprefix("DPoP ")
        cookie = f"{dice.choice(COOKIES)}={secret}"
        kind = {name: value for name, value in sent.headers.items() if name == "Content-Type"}
        return Theft(Sent(sent.method, sent.path, {**kind, "Cookie": cookie}, sent.content), cookie)

    def _with_assertion(self, dice: random.Random) -> Theft:
        """With the thief's proof at the endpoints that take one: where it was shown, and where not."""
        held, form = dice.choice(self.assertions), {"client_assertion_type": ASSERTION_TYPE}
        match dice.randrange(4):
            case 0:
                path, form = "/oauth2/token", {**form, "grant_type": "client_credentials"}
            case 1:
                path, form = "/oauth2/introspect", {**form, "token": "x"}
            case 2:
                path, form = "/oauth2/revoke", {**form, "token": "x"}
            case _:
                headers = {"DPoP": self.proof(THIEF, "POST", "/v1/sessions")}
                evidence = {"type": "private_key_jwt", "assertion": held}
                wish = {"task": {"kind": "demo", "ref": "2"}, "evidence": evidence}
                return Theft(_with_body(Sent("POST", "/v1/sessions", headers), wish), held)
        headers = {"DPoP": self.proof(THIEF, "POST", path), "Content-Type": FORM}
        return Theft(
            Sent("POST", path, headers, urlencode({**form, "client_assertion": held}).encode()), held
        )


THIEF = Es256Key.generate()
FRESH, EVERY = 40, 200
SECRET = ("DPoP", "Authorization")
KINDS = ("token", "proof", "cookie", "assertion")
COOKIES = ("session", "__Host-session", "access_token", "DPoP", "sojourn")
FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _with_body(sent: Sent, body: object) -> Sent:
    if body is not None:
        sent.content = json.dumps(body).encode()
        sent.headers["Content-Type"] = "application/json"
    return sent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgresql"])
async def town(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Town]:
    if request.param == "sqlite":
        place = Place("sqlite", path=tmp_path / "sojourn.db")
    else:
        place = Place("postgresql", dsn=await new_database(request.getfixturevalue("server")))
    made = Town(place, tmp_path)
    await made.open()
    yield made
    for node in made.nodes:
        await node.deployment.stop()


async def _rob(town: Town, place: str, times: int, caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """`times` attempts of each kind, at nodes that never saw the request or have forgotten it.

    What is stolen was used a moment ago, so that it is not refused for its age alone.
    """
    seed = random.randrange(2**32)
    print(f"{place}: seed {seed}")
    dice, heard = random.Random(seed), Counter[str]()
    for number in range(times * len(KINDS)):
        kind = KINDS[number % len(KINDS)]
        theft = town.stolen(kind, dice)
        if number % EVERY == 0:
            await town.go_on()
            if place == "after a restart":
                await town.restart()
        caplog.clear()
        nodes = town.nodes[1:] if place == "another node" else town.nodes
        answer = await dice.choice(nodes).send(theft.sent, address=f"192.0.2.{number % 200 + 1}")
        assert answer.status_code in (400, 401, 403, 404, 415, 422), (kind, theft.sent.path, answer.text)
        written = [one.getMessage() for one in caplog.records if one.name == "sojourn.refused"]
        assert len(written) == 1 and fingerprint(theft.shown) in written[0], (kind, theft.sent.path, written)
        assert not any(secret in caplog.text for secret in town.secrets()), "a fingerprint, never a secret"
        heard[f"{kind} {answer.status_code}"] += 1
    return heard


# 850 of each of four kinds at each of three places are 10,200 attempts; SQLite has no second node.
@pytest.mark.parametrize(
    "times", [12, pytest.param(850, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
async def test_no_copied_request_is_answered_anywhere(
    town: Town, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sojourn.refused")
    await town.live()
    facts = (await town.nodes[0].deployment.store.head()).journal_size
    heard: dict[str, Counter[str]] = {}

    heard["elsewhere"] = await _rob(town, "elsewhere", times, caplog)
    if town.place.dialect == "postgresql":
        await town.open()
        heard["another node"] = await _rob(town, "another node", times, caplog)
    heard["after a restart"] = await _rob(town, "after a restart", times, caplog)

    assert (await town.nodes[0].deployment.store.head()).journal_size == facts, "nothing was changed"
    assert all(count.total() == times * len(KINDS) for count in heard.values())
    print(f"0 of {sum(count.total() for count in heard.values())} accepted: {heard}")
