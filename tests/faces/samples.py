"""One of each row, as the tests of the face need it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sojourn.core.charter import Charter, Renewals
from sojourn.core.client import Client, Role
from sojourn.core.ids import (
    CHARTER,
    CLIENT,
    SESSION,
    TARGET,
    CharterId,
    ClientId,
    LeaseId,
    OwnerId,
    SessionId,
    TargetId,
    from_uuid,
)
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant
from sojourn.core.secret import Secret
from sojourn.core.session import BeatRule, Session, State, Task
from sojourn.core.target import Target, TargetState
from sojourn.core.window import Window
from sojourn.jose import VerifyKey
from sojourn.ports.provider import Found, Presence
from sojourn.ports.store import Mark

ISSUER = "http://127.0.0.1:8787"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def new_id(prefix: str) -> str:
    return from_uuid(prefix, uuid.uuid4())


def a_client(name: str, role: Role, key: VerifyKey, audience: str | None = None) -> Client:
    made = ClientId(new_id(CLIENT))
    return Client(made, 1, name, role, OwnerId("ops"), dict(key.jwk), key.thumbprint, START, audience)


def a_session(client: ClientId, key: str, task: Task | None = None, state: State = State.ACTIVE) -> Session:
    grants = Grants(
        (TargetGrant("shop-readonly", "shop", "readonly"),),
        (AudienceGrant("orders", "https://api.example", ("orders:read",)),),
    )
    return Session(
        id=SessionId(new_id(SESSION)),
        version=1,
        state=state,
        client=client,
        owner=OwnerId("ops"),
        task=task or Task("demo", "1"),
        charter="demo@1",
        key=key,
        grants=grants,
        window=Window(START, START + timedelta(minutes=2)),
        last_end=START + timedelta(minutes=12),
        renewals_left=1,
        renew_by=timedelta(minutes=10),
        beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
        activate_by=START + timedelta(minutes=1),
        generation=1,
        context={"host": "build-7"},
        requested_at=START,
    )


def a_lease(session: Session) -> Lease:
    return Lease(
        id=LeaseId("lea_0"),
        version=1,
        state=LeaseState.ISSUED,
        session=session.id,
        target=TargetId("tgt_0"),
        target_name="shop",
        grant="shop-readonly",
        template="readonly",
        handle="sj_dev0_1",
        revocation_class="A",
        issue_by=START,
        expires_at=START + timedelta(minutes=12),
    )


def a_charter(name: str) -> Charter:
    return Charter(
        id=CharterId(new_id(CHARTER)),
        version=1,
        name=name,
        number=1,
        owner=OwnerId("ops"),
        clients=("ci",),
        grants=Grants((TargetGrant("shop-readonly", "shop", "readonly"),)),
        default_duration=timedelta(minutes=2),
        longest=timedelta(minutes=30),
        beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
        renewals=Renewals(0, timedelta(minutes=10)),
        applied_at=START,
        applied_by="op",
    )


def a_target(name: str) -> Target:
    made = TargetId(new_id(TARGET))
    return Target(made, 1, TargetState.UNTRIED, name, "postgresql", {}, {}, "A", START)


@dataclass(frozen=True)
class Token:
    audience: str
    jwt: str
    expires_at: datetime
    scope: str


@dataclass(frozen=True)
class Credential:
    grant: str
    target: str
    provider: str
    connection: Mapping[str, str]
    secret: Secret


@dataclass(frozen=True)
class Opening:
    session: Session
    repeated: bool


@dataclass(frozen=True)
class Beat:
    session: Session
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Activation:
    session: Session
    tokens: tuple[Token, ...]
    credentials: tuple[Credential, ...]
    mark: Mark


@dataclass(frozen=True)
class Reconciliation:
    unknown: tuple[Found, ...]
    missing: tuple[str, ...]
    known: int
    due: tuple[str, ...] = ()
    waiting: bool = False
    destroyed: tuple[Removed, ...] = ()
    listed: bool = True


@dataclass(frozen=True)
class Removed:
    handle: str
    presence: Presence
