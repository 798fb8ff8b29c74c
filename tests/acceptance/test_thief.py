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
class Node:
    """One server of a deployment."""

    deployment: Deployment

    async def send(self, sent: Sent) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.deployment.app)
        async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
            return await http.request(sent.method, sent.path, headers=sent.headers, content=sent.content)


@dataclass
class Town:
    """A deployment of one node or more, and what went over its wires."""

    place: Place
    folder: Path
    nodes: list[Node] = field(default_factory=list)
    seen: list[Sent] = field(default_factory=list)
    number: int = 0
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
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(client, key),
        }
        headers = {
            "DPoP": self.proof(key, "POST", "/oauth2/token"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = await self.say(Sent("POST", "/oauth2/token", headers, urlencode(form).encode()))
        token: str = answer["access_token"]
        return token

    def assertion(self, client: Client, key: Es256Key) -> str:
        self.number += 1
        now = self.nodes[0].deployment.clock.now()
        return sign_client_assertion(key, client.id, ISSUER, now, jti=f"a{self.number}")

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

    def stolen(self, dice: random.Random) -> Sent:
        """One of the copied requests, as it was or bent a little."""
        sent = dice.choice(self.seen)
        headers = dict(sent.headers)
        match dice.randrange(7):
            case 0:  # the token with a proof by the thief's own key
                token = headers.get("Authorization", "").removeprefix("DPoP ")
                headers["DPoP"] = self.proof(THIEF, sent.method, sent.path, token or None)
            case 1:  # the token as if it were a bearer token
                headers["Authorization"] = headers.get("Authorization", "DPoP x").replace("DPoP", "Bearer")
            case 2:  # the proof of another request
                headers["DPoP"] = dice.choice(self.seen).headers["DPoP"]
            case 3:  # another address
                other = dice.choice(self.seen)
                return Sent(other.method, other.path, headers, other.content)
            case _:
                pass  # byte for byte
        return Sent(sent.method, sent.path, headers, sent.content)


THIEF = Es256Key.generate()


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


async def _rob(town: Town, times: int) -> Counter[int]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, heard = random.Random(seed), Counter[int]()
    for _ in range(times):
        answer = await dice.choice(town.nodes).send(town.stolen(dice))
        heard[answer.status_code] += 1
        assert answer.status_code in (400, 401, 403, 404, 415, 422), answer.text
    return heard


@pytest.mark.parametrize(
    "times", [150, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_no_copied_request_is_answered_anywhere(
    town: Town, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sojourn.refused")
    await town.live()
    facts = (await town.nodes[0].deployment.store.head()).journal_size

    here = await _rob(town, times // 3)
    if town.place.dialect == "postgresql":
        await town.open()
    elsewhere = await _rob(town, times // 3)
    await town.restart()
    afterwards = await _rob(town, times // 3)

    assert (await town.nodes[0].deployment.store.head()).journal_size == facts
    print(dict(here), dict(elsewhere), dict(afterwards))
    written = caplog.text
    assert fingerprint(town.seen[-1].headers["DPoP"]) in written
    for sent in town.seen:
        for secret in (sent.headers["DPoP"], sent.headers.get("Authorization", "DPoP none")):
            assert secret.removeprefix("DPoP ") not in written
