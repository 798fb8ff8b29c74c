"""Scripted services and a small store in memory: enough to hold the HTTP face to its contract."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sojourn.adapters.system_clock import SystemEntropy
from sojourn.core.binding import to_cnf
from sojourn.core.change import Change, Once
from sojourn.core.charter import Charter
from sojourn.core.client import Client, Role
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused, SojournError, Unauthenticated
from sojourn.core.ids import (
    ClientId,
    SessionId,
)
from sojourn.core.lease import Lease
from sojourn.core.policy import PolicySet
from sojourn.core.secret import Secret
from sojourn.core.session import LEAVING, Session, State
from sojourn.core.signing_key import Purpose, SigningKey
from sojourn.core.standing import Standing
from sojourn.core.target import Target
from sojourn.core.token import choose_audience
from sojourn.core.window import to_micros
from sojourn.faces.http.doors import ChildRequest, OpenRequest
from sojourn.jose import VerifyKey
from sojourn.ports.attestor import Evidence
from sojourn.ports.provider import Check, Incoming, Outgoing
from sojourn.ports.store import FeedPage, Head, Mark, Rules, SessionFilter, Store
from sojourn.services.mint_tokens import MintTokens
from tests.faces.attesting import JwtAttestor
from tests.faces.governing import NoOrders
from tests.faces.samples import (
    ISSUER,
    Activation,
    Beat,
    Credential,
    Opening,
    Token,
    a_charter,
    a_client,
    a_session,
    a_target,
)
from tests.faces.scripted_parts import SetClock, Signer, require_fit


@dataclass
class MemoryStore(NoOrders):
    """The reads that the face makes, and one-time marks."""

    people: dict[str, Client] = field(default_factory=dict)
    rows: dict[str, Session] = field(default_factory=dict)
    lease_rows: list[Lease] = field(default_factory=list)
    charter_rows: dict[str, Charter] = field(default_factory=dict)
    target_rows: dict[str, Target] = field(default_factory=dict)
    policy_rows: list[PolicySet] = field(default_factory=list)
    key_rows: list[SigningKey] = field(default_factory=list)
    once: set[tuple[str, str]] = field(default_factory=set)
    pages: list[FeedPage] = field(default_factory=list)
    sealed_at: tuple[int, str] | None = None
    hashes: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def as_port(self) -> Store:
        return cast(Store, self)

    async def commit(self, change: Change) -> Head:
        for mark in change.once:
            if (mark.kind, mark.key) in self.once:
                raise Refused("replayed", "used before")
        self.policy_rows += [step.row for step in change.steps if isinstance(step.row, PolicySet)]
        self.once |= {(mark.kind, mark.key) for mark in change.once}
        return await self.head()

    async def head(self) -> Head:
        return Head(1, 0, 7)

    async def reconciling(self) -> frozenset[str]:
        return frozenset()

    async def restored(self, *, limit: int) -> Sequence[SessionId]:
        return ()

    async def client(self, client: ClientId) -> Client | None:
        return self.people.get(client)

    async def clients(self) -> Sequence[Client]:
        return list(self.people.values())

    async def session(self, session: SessionId) -> Session | None:
        return self.rows.get(session)

    async def sessions(
        self, which: SessionFilter, *, after: SessionId | None, limit: int
    ) -> Sequence[Session]:
        found = sorted((s for s in self.rows.values() if _matches(s, which)), key=lambda s: s.id)
        return [s for s in found if after is None or s.id > after][:limit]

    async def leases(self, session: SessionId) -> Sequence[Lease]:
        return [one for one in self.lease_rows if one.session == session]

    async def charter(self, name: str, number: int | None = None) -> Charter | None:
        return self.charter_rows.get(name)

    async def charters(self) -> Sequence[Charter]:
        return list(self.charter_rows.values())

    async def policy(self, number: int | None = None) -> PolicySet | None:
        found = [one for one in self.policy_rows if number in (None, one.number)]
        return found[-1] if found else None

    async def review(self, session: SessionId) -> None:
        return None

    async def reviews(self, *, owed: bool, limit: int) -> Sequence[object]:
        return []

    async def session_journal(self, session: SessionId) -> Sequence[object]:
        return []

    async def rules(self) -> Rules:
        return Rules(len(self.policy_rows), len(self.charter_rows))

    async def target_named(self, name: str) -> Target | None:
        return self.target_rows.get(name)

    async def targets(self) -> Sequence[Target]:
        return list(self.target_rows.values())

    async def signing_keys(self) -> Sequence[SigningKey]:
        return self.key_rows

    async def feed(self, after: Mark | None, *, limit: int) -> FeedPage:
        if self.pages:
            return self.pages.pop(0)
        return FeedPage(after or Mark(1, 7), (), after is None)

    async def checkpoint(self) -> tuple[int, str] | None:
        return self.sealed_at

    async def tiles(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return {key: self.hashes[key] for key in keys if key in self.hashes}

    async def next_errand_at(self, *, without: Sequence[str] = ()) -> datetime | None:
        return None

    async def journal(self, first: int, *, limit: int) -> Sequence[object]:
        return []


def _matches(session: Session, which: SessionFilter) -> bool:
    return (which.client is None or session.client == which.client) and (
        which.states is None or session.state in which.states
    )


@dataclass
class Script:
    """Every verb, answering from the store; `failure` makes the next call of any verb fail."""

    store: MemoryStore
    signer: Signer
    clock: SetClock
    attestor: JwtAttestor
    failure: SojournError | None = None
    opened: dict[str, tuple[SessionId, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _find(self, session: SessionId) -> Session:
        found = self.store.rows.get(session)
        if found is None:
            raise NotFound("unknown_session", f"there is no session `{session}`")
        return found

    def _keep(self, session: Session) -> Session:
        self.store.rows[session.id] = session
        return session

    async def open_session(self, asked: OpenRequest) -> Opening:
        self._called("open")
        if asked.evidence.type != "private_key_jwt":
            raise Unauthenticated("bad_evidence", "expected `private_key_jwt`")
        attested = await self.attestor.attest(asked.evidence, self.clock.now())
        if asked.idempotency in self.opened:
            session, digest = self.opened[asked.idempotency]
            if digest != asked.request_hash:
                raise Invalid("idempotency_mismatch", "used before for another request")
            return Opening(self._find(session), True)
        born = a_session(attested.client.id, asked.key, asked.task, State.APPROVED)
        require_fit(asked, born)
        await self.store.commit(Change(once=(*attested.once, *asked.once)))
        if asked.idempotency is not None:
            self.opened[asked.idempotency] = (born.id, asked.request_hash)
        return Opening(self._keep(born), False)

    async def open_child(self, parent: SessionId, key: str, asked: ChildRequest) -> Opening:
        self._called("child")
        elder = self._find(parent)
        born = a_session(elder.client, asked.key, elder.task, State.APPROVED)
        require_fit(asked, born)
        await self.store.commit(Change(once=asked.once))
        return Opening(self._keep(replace(born, ancestors=(*elder.ancestors, elder.id))), False)

    async def activate(self, session: Session) -> Activation:
        self._called("activate")
        return self._active(session)

    def _active(self, session: Session) -> Activation:
        active = self._keep(replace(session, state=State.ACTIVE, cause=None))
        place, secret = {"host": "127.0.0.1"}, Secret("once-only")
        credential = Credential("shop-readonly", "shop", "postgresql", place, secret)
        return Activation(active, self(active, Mark(1, 7)), (credential,), Mark(1, 7))

    async def beat(self, session: SessionId, key: str, **_: object) -> Beat:
        self._called("beat")
        if (found := self._find(session)).state in LEAVING:
            raise Refused("session_ended", "the session has ended")
        return Beat(found, self(found, Mark(1, 7)) if found.state is State.ACTIVE else ())

    async def complete(self, session: SessionId, key: str, **_: object) -> Session:
        return await self.end(session, Cause(Reason.COMPLETED, "workload"))

    async def end(self, session: SessionId, cause: Cause) -> Session:
        self._called("end")
        found = self._find(session)
        if found.state in LEAVING:
            return found
        return self._keep(replace(found, state=State.REVOKING, cause=cause, refused_at=self.clock.now()))

    async def suspend(self, session: SessionId, cause: Cause) -> Session:
        self._called("suspend")
        found = self._find(session)
        if found.state is not State.ACTIVE:
            raise Conflict("wrong_state", "only an active session is suspended")
        return self._keep(replace(found, state=State.SUSPENDED, cause=cause))

    async def resume(
        self, session: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...]
    ) -> Activation:
        self._called("resume")
        await self.attestor.attest(evidence, self.clock.now())
        return self._active(self._find(session))

    async def narrow(
        self,
        session: SessionId,
        drop: tuple[str, ...],
        drop_actions: tuple[str, ...],
        closes: datetime | None,
    ) -> Session:
        self._called("narrow")
        return self._keep(replace(self._find(session), generation=2))

    async def login(
        self, *, link: str, name: str | None, jwk: Mapping[str, str], once: tuple[Once, ...]
    ) -> Client:
        self._called("login")
        if link != "sojourn-invitation":
            raise Refused("unknown_mark", "no such link")
        return await self.register_client(
            name=name or "op", role=Role.OPERATOR, owner="ops", jwk=jwk, audience=None
        )

    async def register_client(
        self,
        *,
        name: str,
        role: Role,
        owner: str,
        jwk: Mapping[str, str],
        audience: str | None,
        certificate: Mapping[str, str] | None = None,
    ) -> Client:
        self._called("register")
        client = a_client(name, role, VerifyKey.from_jwk(jwk or self.signer.key.jwk), audience)
        client = replace(client, certificate=certificate or {})
        self.store.people[client.id] = client
        return client

    async def remove_client(self, client: ClientId, *, by: str) -> Client:
        self._called("remove")
        found = self.store.people.get(client)
        if found is None:
            raise NotFound("not_found", "there is no such client")
        self.store.people[client] = replace(found, removed_at=self.clock.now())
        return self.store.people[client]

    async def apply_charter(self, document: Mapping[str, object], *, by: str) -> tuple[Charter, bool]:
        self._called("apply")
        charter = a_charter(str(document["name"]))
        changed = charter.name not in self.store.charter_rows
        self.store.charter_rows[charter.name] = charter
        return charter, changed

    async def add_target(
        self,
        *,
        name: str,
        provider: str,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
    ) -> Target:
        self._called("add")
        target = replace(a_target(name), settings=settings, templates=templates)
        self.store.target_rows[name] = target
        return target

    def _target(self, name: str) -> Target:
        self._called("target")
        if name not in self.store.target_rows:
            raise NotFound("not_found", "there is no such target")
        return self.store.target_rows[name]

    async def preflight_target(self, name: str) -> tuple[Target, Sequence[Check]]:
        return self._target(name), (Check("canary", True, 12.5, "made, used, cut, gone"),)

    async def drain_target(self, name: str) -> Target:
        return self._target(name)

    @asynccontextmanager
    async def forward(self, session: SessionId, grant: str, request: Outgoing) -> AsyncIterator[Incoming]:
        self._called("forward")

        async def pieces() -> AsyncIterator[bytes]:
            yield f"{request.method} {request.path}?{request.query} ".encode()
            yield request.body

        yield Incoming(200, [("content-type", "text/plain"), ("x-far", "1")], pieces())

    async def find_standing(self, name: str) -> Sequence[Standing]:
        self._target(name)
        return (Standing("postgresql_role", "postgresql://db", "legacy", privileged=True),)

    async def replace_credential(self, name: str, secret: Secret) -> Target:
        return self._target(name)

    async def remove_target(self, name: str) -> Target:
        return self._target(name)

    async def rotate_key(self, purpose: Purpose) -> SigningKey:
        self._called("rotate")
        return self.signer.row(purpose)

    async def revoke_key(self, kid: str, *, by: str) -> SigningKey:
        self._called("revoke")
        if kid != self.signer.kid:
            raise NotFound("unknown_key", "there is no such key")
        return self.signer.row(Purpose.TOKENS)

    async def write_evidence(self, session: SessionId) -> str:
        return "sojourn bundle v1\n"

    def __call__(self, session: Session, mark: Mark) -> tuple[Token, ...]:
        return (self.one(session, "https://api.example", mark),)

    def one(self, session: Session, audience: str, mark: Mark, **told: Any) -> Token:
        mint = MintTokens(self.signer, self.clock, SystemEntropy(), ISSUER)
        made = mint.one(session, audience, mark, **told)
        return Token(made.audience, made.jwt, made.expires_at, made.scope)

    async def exchange(
        self,
        session: SessionId,
        key: str,
        audience: str | None,
        only: frozenset[str] | None,
        *,
        may_act: str | None = None,
    ) -> Token:
        self._called("exchange")
        found = self._find(session)
        return self.one(found, choose_audience(found, audience), Mark(1, 7), only=only, may_act=may_act)

    def client_token(self, client: Client, *, key: str | None = None) -> Token:
        now = self.clock.now()
        expires, seconds = now + timedelta(seconds=300), to_micros(now) // 1_000_000
        claims = {
            "iss": ISSUER,
            "sub": client.id,
            "aud": ISSUER,
            "exp": seconds + 300,
            "iat": seconds,
            "jti": str(uuid.uuid4()),
            "cnf": to_cnf(key or client.thumbprint),
        }
        return Token(ISSUER, self.signer.sign({"typ": "at+jwt"}, claims), expires, "operate")
