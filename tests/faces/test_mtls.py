"""Certificates at the other end: who is let in by one, what is bound to one, and whose word on one counts."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509

from sojourn.core.binding import of_certificate
from sojourn.core.client import Client, Role
from sojourn.faces.http.app import build
from sojourn.faces.http.serving import Listen, peers_of, serve
from sojourn.jose import Es256Key, sign_client_assertion
from tests.faces.attesting import JwtAttestor
from tests.faces.samples import ISSUER, a_client
from tests.faces.world import World
from tests.guard.world import free_port, until
from tests.rig.certificates import HERE, Pair, make


@dataclass
class Town:
    """A server that speaks TLS and takes certificates, and an authority that issues them."""

    world: World
    folder: Path
    listen: Listen
    server: Pair
    authority: Pair

    def enrol(self, name: str, rule: dict[str, str], role: Role = Role.OPERATOR) -> Client:
        key = Es256Key.generate()
        client = replace(a_client(name, role, key.public), jwk={}, thumbprint="", certificate=rule)
        self.world.store.people[client.id] = client
        return client

    def context(self, shown: Pair | None) -> ssl.SSLContext:
        trusting = ssl.create_default_context(cafile=str(self.server.pem))
        if shown is not None:
            trusting.load_cert_chain(shown.pem, shown.key_pem)
        return trusting

    def send(
        self,
        method: str,
        path: str,
        *,
        shown: Pair | None = None,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.listen.port, timeout=5, context=context or self.context(shown)
        )
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def token(self, client: Client, shown: Pair | None, **more: Any) -> tuple[int, Any]:
        form = {"grant_type": "client_credentials", "client_id": client.id}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", "/oauth2/token", shown=shown, body=urlencode(form), headers=headers, **more)

    def clients(self, token: str, shown: Pair | None, scheme: str = "Bearer") -> tuple[int, Any]:
        return self.send("GET", "/v1/clients", shown=shown, headers={"Authorization": f"{scheme} {token}"})

    def lets_in(self, client: Client, shown: Pair) -> bool:
        try:
            return self.token(client, shown)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    server = make(tmp_path, "server", sans=[HERE], authority=True)
    authority = make(tmp_path, "authority", authority=True)
    listen = Listen("127.0.0.1", free_port(), server.pem, server.key_pem, client_authorities=authority.pem)
    world = World()
    world.clock.time = datetime.now(UTC)
    made = Town(world, tmp_path, listen, server, authority)
    app = build(replace(world.desk(JwtAttestor(world.store)), peers=peers_of(listen)))
    up, stop = threading.Event(), threading.Event()

    async def registered() -> list[bytes]:
        from sojourn.jose.certificates import registered as of

        return [known.der for one in world.store.people.values() if (known := of(one.certificate))]

    async def run() -> None:
        started, asked = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(
            serve(app, listen, started=started, stop=asked, certificates=registered)
        )
        await asyncio.wait_for(started.wait(), 10)
        up.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        asked.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert up.wait(10)
    yield made
    stop.set()
    thread.join(10)


def test_a_client_is_let_in_by_a_certificate_of_its_subject(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})

    status, told = town.token(client, shown)
    assert (status, told["token_type"]) == (200, "Bearer")

    assert town.clients(told["access_token"], shown)[0] == 200


@pytest.mark.parametrize(
    ("rule", "san"),
    [
        ({"san_dns": "runner.example"}, x509.DNSName("runner.example")),
        ({"san_uri": "spiffe://example/runner"}, x509.UniformResourceIdentifier("spiffe://example/runner")),
        ({"san_ip": "127.0.0.1"}, HERE),
        ({"san_email": "runner@example.org"}, x509.RFC822Name("runner@example.org")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_client_is_let_in_by_one_alternative_name(
    town: Town, rule: dict[str, str], san: x509.GeneralName
) -> None:
    client = town.enrol("runner", rule)

    assert town.token(client, make(town.folder, "named", by=town.authority, sans=[san]))[0] == 200
    assert town.token(client, make(town.folder, "runner.example", by=town.authority))[0] == 401


def test_a_certificate_that_is_not_the_clients_is_refused(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})
    other = make(town.folder, "other", by=town.authority)

    assert town.token(client, other)[1]["error"] == "invalid_client"
    assert town.token(client, None)[0] in (400, 401)
    assert town.token(town.enrol("nobody", {}), shown)[1]["error"] == "invalid_client"


def test_a_token_is_worth_nothing_with_another_certificate_or_scheme(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    thief = make(town.folder, "thief", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})
    token = town.token(client, shown)[1]["access_token"]
    operator = town.world.operator.client
    assert operator is not None
    bound = town.world.script.client_token(operator).jwt

    assert town.clients(token, thief)[1]["code"] == "wrong_key"
    assert town.clients(token, None)[0] == 401
    assert town.clients(token, shown, "DPoP")[1]["code"] == "missing_token"
    assert town.clients(bound, shown)[1]["code"] == "missing_token"  # bound to a key, sent as a bearer


def test_a_self_signed_certificate_is_let_in_once_it_is_registered_and_out_once_it_is_not(town: Town) -> None:
    shown = make(town.folder, "alone")
    nobody = town.enrol("nobody", {"subject_dn": shown.dn})
    assert not town.lets_in(nobody, shown)  # TLS itself refuses it

    client = town.enrol("alone", {"self_signed": shown.b64})
    until(lambda: town.lets_in(client, shown), 6)
    token = town.token(client, shown)[1]["access_token"]
    assert town.clients(token, shown)[0] == 200

    town.world.store.people[client.id] = replace(client, removed_at=town.world.clock.now())
    assert town.token(client, shown)[1]["error"] == "invalid_client"
    assert town.clients(token, shown)[1]["code"] == "client_removed"
    # It is let through TLS, but names a subject that only an authority may vouch for.
    assert town.token(nobody, shown)[1]["error"] == "invalid_client"


def test_a_registered_certificate_cannot_vouch_for_another(town: Town) -> None:
    false_authority = make(town.folder, "false", authority=True)
    registered = town.enrol("false", {"self_signed": false_authority.b64})
    until(lambda: town.lets_in(registered, false_authority), 6)
    victim = town.enrol("victim", {"subject_dn": "CN=victim"})

    forged = make(town.folder, "victim", by=false_authority)

    assert town.token(victim, forged)[1]["error"] == "invalid_client"


def test_a_change_of_the_registration_counts_on_a_connection_that_is_open(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})
    token = town.token(client, shown)[1]["access_token"]
    connection = http.client.HTTPSConnection(
        "127.0.0.1", town.listen.port, timeout=5, context=town.context(shown)
    )

    def status() -> int:
        connection.request("GET", "/v1/clients", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert status() == 200
    removed = replace(client, certificate={"subject_dn": "CN=another"})
    town.world.store.people[client.id] = removed
    assert status() == 401  # the very next request on the same connection
    connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_of_tls_brings_nobody_back(town: Town, version: ssl.TLSVersion) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})
    context = town.context(shown)
    context.minimum_version = context.maximum_version = version
    first = _connected(town, context, None)
    saved = first.session
    first.close()

    town.world.store.people[client.id] = replace(client, removed_at=town.world.clock.now())
    second = _connected(town, context, saved)

    assert not second.session_reused or version is ssl.TLSVersion.TLSv1_2
    assert town.token(client, shown, context=context)[1]["error"] == "invalid_client"
    second.close()


def _connected(town: Town, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    import socket

    plain = socket.create_connection(("127.0.0.1", town.listen.port), 5)
    made = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
    made.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert made.recv(4096).startswith(b"HTTP/1.1")
    return made


def test_a_header_from_anybody_but_the_proxy_is_nothing(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})
    form = urlencode({"grant_type": "client_credentials", "client_id": client.id})
    headers = {"Client-Cert": f":{shown.b64}:", "Content-Type": "application/x-www-form-urlencoded"}

    status, told = town.send("POST", "/oauth2/token", body=form, headers=headers)

    assert status in (400, 401) and "access_token" not in told


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (lambda pair: [("Client-Cert", f":{pair.b64}:")], 200),
        (lambda pair: [("Client-Cert", pair.b64)], 401),
        (lambda pair: [("Client-Cert", f":{pair.b64}:")] * 2, 401),
        (lambda pair: [("Client-Cert", ":AAAA:")], 401),
        (lambda pair: [], 400),
    ],
    ids=["as RFC 9440 has it", "without colons", "twice", "no certificate", "none"],
)
async def test_a_configured_proxy_speaks_for_those_behind_it(
    tmp_path: Path, header: Any, status: int
) -> None:
    import httpx2

    authority = make(tmp_path, "authority", authority=True)
    shown = make(tmp_path, "runner", by=authority)
    world = World()
    world.clock.time = datetime.now(UTC)
    listen = Listen("127.0.0.1", 1, client_authorities=authority.pem, proxies=("10.0.0.5",))
    app = build(replace(world.desk(JwtAttestor(world.store)), peers=peers_of(listen)))
    key = Es256Key.generate()
    client = replace(a_client("runner", Role.OPERATOR, key.public), certificate={"subject_dn": shown.dn})
    world.store.people[client.id] = client
    form = {"grant_type": "client_credentials", "client_id": client.id}
    heard = []
    for address in ("10.0.0.5", "10.0.0.6"):
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://a") as http_client:
            answer = await http_client.post("/oauth2/token", data=form, headers=header(shown))
            heard.append(answer.status_code)

    assert heard[0] == status
    assert heard[1] in (400, 401)


def test_a_session_is_bound_to_the_certificate_that_opened_it(town: Town) -> None:
    shown, other = (make(town.folder, name, by=town.authority) for name in ("one", "two"))
    caller = town.world.workload
    assert caller.client is not None
    now = town.world.clock.now()
    assertion = sign_client_assertion(caller.key, caller.client.id, ISSUER, now, jti="a")
    evidence = {"type": "private_key_jwt", "assertion": assertion}
    body = json.dumps({"task": {"kind": "demo", "ref": "1"}, "evidence": evidence})
    headers = {"Content-Type": "application/json"}

    status, opened = town.send("POST", "/v1/sessions", shown=shown, body=body, headers=headers)

    assert (status, opened["session"]["key"]) == (201, of_certificate(shown.der))
    path = f"/v1/sessions/{opened['session']['id']}"
    assert town.send("POST", path + "/beat", shown=shown, body="{}", headers=headers)[0] == 200
    assert town.send("POST", path + "/beat", shown=other, body="{}", headers=headers)[0] == 404
    assert town.send("GET", path)[0] == 401


def test_an_expired_certificate_is_refused(town: Town) -> None:
    shown = make(town.folder, "runner", by=town.authority)
    client = town.enrol("runner", {"subject_dn": shown.dn})

    town.world.clock.time += timedelta(hours=2)

    assert town.token(client, shown)[1]["error"] == "invalid_client"
