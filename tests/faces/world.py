"""One app over scripted services, with a caller of every role that signs its own requests."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2

from sojourn.config import Settings
from sojourn.core.client import Client, Role
from sojourn.core.ids import SessionId
from sojourn.core.proof import ath_of
from sojourn.faces.http.app import build
from sojourn.faces.http.desk import Desk, Verbs
from sojourn.faces.http.limits import Pace, Places
from sojourn.faces.http.meters import Meters
from sojourn.faces.http.replay import Replays
from sojourn.jose import Es256Key, sign_client_assertion, sign_proof
from sojourn.services._own_tokens import OwnTokens
from sojourn.services.end_session import EndSession
from sojourn.services.inspect_token import InspectToken, RevokeToken
from sojourn.services.write_status import WriteStatus
from tests.faces.attesting import JwtAttestor
from tests.faces.governing import governance_of
from tests.faces.ruling import Ruling
from tests.faces.samples import ISSUER, a_client
from tests.faces.scripted import MemoryStore, Script
from tests.faces.scripted_federation import Federate
from tests.faces.scripted_parts import Notes, QuietBell, Reconcile, SetClock, Signer

Headers = list[tuple[str, str]]


@dataclass
class Caller:
    """A key, and what can be shown with it."""

    world: World
    key: Es256Key
    client: Client | None = None
    token: str | None = None

    def proof(self, method: str, path: str, *, token: str | None = None) -> str:
        url = ISSUER + path.partition("?")[0]
        ath = None if token is None else ath_of(token)
        return sign_proof(self.key, method, url, self.world.clock.now(), jti=str(uuid.uuid4()), ath=ath)

    def assertion(self) -> str:
        assert self.client is not None
        now = self.world.clock.now()
        return sign_client_assertion(self.key, self.client.id, ISSUER, now, jti=str(uuid.uuid4()))

    def evidence(self) -> dict[str, str]:
        return {"type": "private_key_jwt", "assertion": self.assertion()}

    def headers(self, method: str, path: str) -> Headers:
        """With the token if there is one (C), else the proof alone (S, E)."""
        shown: Headers = [("DPoP", self.proof(method, path, token=self.token))]
        if self.token is not None:
            shown.append(("Authorization", f"DPoP {self.token}"))
        return shown

    async def send(
        self, method: str, path: str, body: object = None, *, extra: Headers | None = None
    ) -> httpx2.Response:
        headers = self.headers(method, path) + (extra or [])
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers.append(("Content-Type", "application/json"))
        return await self.world.http.request(method, path, headers=headers, content=content)


class Waiting:
    """Sessions that wait since a restore, until somebody lets them go."""

    def __init__(self) -> None:
        self.sessions: list[SessionId] = []

    async def __call__(self, *, limit: int) -> list[SessionId]:
        return self.sessions[:limit]

    async def apply(self, *, by: str) -> None:
        self.sessions = []


@dataclass
class World:
    """Everything a test of the face needs."""

    clock: SetClock = field(default_factory=SetClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    signer: Signer = field(default_factory=Signer)
    bell: QuietBell = field(default_factory=QuietBell)
    pace: Pace = field(default_factory=lambda: Pace(500))
    waiting: Waiting = field(default_factory=Waiting)
    feed_places: Places = field(default_factory=lambda: Places(2))

    def __post_init__(self) -> None:
        attestor = JwtAttestor(self.store)
        self.script = Script(self.store, self.signer, self.clock, attestor)
        self.app = build(self.desk(attestor))
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url=ISSUER)
        self.operator = self.enrol("op", Role.OPERATOR)
        self.guard = self.enrol("orders", Role.GUARD)
        self.workload = self.enrol("ci", Role.WORKLOAD)

    def verbs(self) -> Verbs:
        s = self.script
        own = OwnTokens(self.store.as_port(), self.clock, self.signer, ISSUER)
        ruling = Ruling(self.store.as_port(), self.clock)
        return Verbs(
            open_session=s.open_session,
            open_child=s.open_child,
            activate=s.activate,
            beat=s.beat,
            narrow=s.narrow,
            complete=s.complete,
            mint=s,
            own_tokens=own,
            exchange=s.exchange,
            inspect=InspectToken(own),
            revoke=RevokeToken(own, cast("EndSession", s.end)),
            write_status=WriteStatus(self.store.as_port(), self.clock, self.signer, ISSUER),
            suspend=s.suspend,
            resume=s.resume,
            end=s.end,
            login=s.login,
            register_client=s.register_client,
            federate_client=Federate(self.store),
            remove_client=s.remove_client,
            apply_charter=s.apply_charter,
            apply_policy=ruling.apply,
            explain=ruling.explain,
            operate=ruling.operate,
            review_session=ruling.review,
            add_target=s.add_target,
            preflight_target=s.preflight_target,
            find_standing=s.find_standing,
            forward=s.forward,
            replace_credential=s.replace_credential,
            drain_target=s.drain_target,
            remove_target=s.remove_target,
            reconcile_target=Reconcile(),
            reconcile_sessions=self.waiting,
            write_evidence=s.write_evidence,
            governance=governance_of(self.store),
            rotate_key=s.rotate_key,
            revoke_key=s.revoke_key,
        )

    def desk(self, attestor: JwtAttestor) -> Desk:
        store = self.store.as_port()
        return Desk(
            settings=Settings(ISSUER),
            clock=self.clock,
            store=store,
            bell=self.bell,
            signer=self.signer,
            notes=Notes(),
            keys=self.signer,
            attestors={"private_key_jwt": attestor},
            replays=Replays(store),
            feed_places=self.feed_places,
            watch_places=Places(2),
            pace=self.pace,
            meters=Meters(self.feed_places),
            verbs=self.verbs(),
        )

    def enrol(self, name: str, role: Role) -> Caller:
        key = Es256Key.generate()
        audience = "https://api.example" if role is Role.GUARD else None
        client = a_client(name, role, key.public, audience)
        self.store.people[client.id] = client
        return Caller(self, key, client, self.script.client_token(client).jwt)

    def stranger(self) -> Caller:
        return Caller(self, Es256Key.generate())

    def workload_with_key(self) -> Caller:
        """The workload with its assertion key, showing proofs without a token (E)."""
        return Caller(self, self.workload.key, self.workload.client)

    async def open(self, **more: Any) -> tuple[Caller, dict[str, Any]]:
        """An active session and the holder of its key."""
        caller = self.workload_with_key()
        body = {"evidence": caller.evidence(), "task": {"kind": "demo", "ref": "1"}, **more}
        answer = await caller.send("POST", "/v1/sessions", body)
        assert answer.status_code == 201, answer.text
        opened: dict[str, Any] = answer.json()
        return caller, opened
