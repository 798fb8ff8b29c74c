"""What the HTTP face asks of the services: one Protocol a verb, and the values they answer with.

Written as shapes, so that the face can be tried against scripted services and so that no
service has to know that there is a face.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sojourn.core.change import Once
from sojourn.core.charter import Charter
from sojourn.core.client import Client, Role
from sojourn.core.ending import Cause
from sojourn.core.family import ChildWish
from sojourn.core.ids import ClientId, SessionId
from sojourn.core.policy import PolicySet, Question
from sojourn.core.review import Review
from sojourn.core.secret import Secret
from sojourn.core.session import Session, Task
from sojourn.core.signing_key import Purpose, SigningKey
from sojourn.core.standing import Standing
from sojourn.core.target import Target
from sojourn.core.token import AccessClaims
from sojourn.ports.attestor import Evidence
from sojourn.ports.provider import Check, Found, Incoming, Outgoing, Presence
from sojourn.ports.store import Mark


class Token(Protocol):
    """A signed access token for one audience."""

    @property
    def audience(self) -> str: ...
    @property
    def jwt(self) -> str: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def scope(self) -> str: ...


class Credential(Protocol):
    """A downstream credential, shown once."""

    @property
    def grant(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def connection(self) -> Mapping[str, str]: ...
    @property
    def secret(self) -> Secret: ...


class Opening(Protocol):
    """A session that was opened, or the one an earlier call with this key made."""

    @property
    def session(self) -> Session: ...
    @property
    def repeated(self) -> bool: ...


class Activation(Protocol):
    """An active session with everything its workload needs."""

    @property
    def session(self) -> Session: ...
    @property
    def tokens(self) -> Sequence[Token]: ...
    @property
    def credentials(self) -> Sequence[Credential]: ...
    @property
    def mark(self) -> Mark: ...


class Beat(Protocol):
    """The answer to a heartbeat."""

    @property
    def session(self) -> Session: ...
    @property
    def tokens(self) -> Sequence[Token]: ...


class Removed(Protocol):
    """A credential that nothing accounted for, after it was destroyed."""

    @property
    def handle(self) -> str: ...
    @property
    def presence(self) -> Presence: ...


class Reconciliation(Protocol):
    """What a target holds, against what is on record."""

    @property
    def unknown(self) -> Sequence[Found]: ...
    @property
    def missing(self) -> Sequence[str]: ...
    @property
    def known(self) -> int: ...
    @property
    def due(self) -> Sequence[str]: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def listed(self) -> bool: ...
    @property
    def destroyed(self) -> Sequence[Removed]: ...


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a workload asks for, parsed; `key` is the thumbprint of its proof's key."""

    evidence: Evidence
    task: Task
    grants: tuple[str, ...]
    duration: timedelta | None
    context: Mapping[str, str]
    key: str
    once: tuple[Once, ...]
    idempotency: str | None
    request_hash: str
    supersedes: SessionId | None = None
    fits: Callable[[Session], object] | None = None  # refuses what would be of no use, before it is there


class OpenSession(Protocol):
    async def __call__(self, asked: OpenRequest, /) -> Opening: ...


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """What a parent asks for its child, parsed; `key` is the thumbprint the child has proved to hold."""

    key: str
    ref: str | None
    wish: ChildWish
    context: Mapping[str, str]
    once: tuple[Once, ...]
    idempotency: str | None
    request_hash: str
    fits: Callable[[Session], object] | None = None


class OpenChild(Protocol):
    async def __call__(self, parent: SessionId, key: str, asked: ChildRequest, /) -> Opening: ...


class ActivateSession(Protocol):
    async def __call__(self, session: Session, /) -> Activation: ...


class BeatSession(Protocol):
    async def __call__(
        self, session: SessionId, key: str, /, *, renew: bool, evidence: Evidence | None = None
    ) -> Beat: ...


class CompleteSession(Protocol):
    async def __call__(
        self, session: SessionId, key: str, /, *, job_finished: str | None = None
    ) -> Session: ...


class NarrowSession(Protocol):
    async def __call__(
        self,
        session: SessionId,
        drop: tuple[str, ...],
        drop_actions: tuple[str, ...],
        closes: datetime | None,
        /,
    ) -> Session: ...


class Mint(Protocol):
    """Signs access tokens, for sessions and for our own clients."""

    def __call__(self, session: Session, mark: Mark, /) -> Sequence[Token]: ...

    def client_token(self, client: Client, /, *, key: str | None = None) -> Token: ...

    def one(
        self, session: Session, audience: str, mark: Mark, /, *, only: frozenset[str] | None
    ) -> Token: ...


class OwnTokens(Protocol):
    """Reads tokens that we signed."""

    async def living(self, compact: str, /) -> AccessClaims: ...

    def clients(self, compact: str, /) -> Mapping[str, object]: ...

    def is_clients(self, compact: str, /) -> bool: ...


class ExchangeToken(Protocol):
    async def __call__(
        self,
        session: SessionId,
        key: str,
        audience: str | None,
        only: frozenset[str] | None,
        /,
        *,
        may_act: str | None,
    ) -> Token: ...


class InspectToken(Protocol):
    async def __call__(self, compact: str, asker: Client, /) -> AccessClaims | None: ...


class WriteStatus(Protocol):
    """Answers one signed list; `lists` says where all of them are."""

    async def __call__(self, name: str, /) -> str: ...

    async def lists(self) -> Sequence[str]: ...


class RevokeToken(Protocol):
    async def __call__(self, compact: str, /, *, client: Client | None, key: str | None) -> None: ...


class StopSession(Protocol):
    """Ending and suspending have one shape: which session, and why."""

    async def __call__(self, session: SessionId, cause: Cause, /) -> Session: ...


class ResumeSession(Protocol):
    async def __call__(
        self, session: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...], /
    ) -> Activation: ...


class Login(Protocol):
    async def __call__(
        self, *, link: str, name: str | None, jwk: Mapping[str, str], once: tuple[Once, ...]
    ) -> Client: ...


class RegisterClient(Protocol):
    async def __call__(
        self,
        *,
        name: str,
        role: Role,
        owner: str,
        jwk: Mapping[str, str],
        audience: str | None,
        certificate: Mapping[str, str] | None = None,
    ) -> Client: ...


class FederateClient(Protocol):
    async def __call__(self, *, name: str, owner: str, attestor: str, rule: Mapping[str, str]) -> Client: ...


class RemoveClient(Protocol):
    async def __call__(self, client: ClientId, *, by: str) -> Client: ...


class ApplyCharter(Protocol):
    """Answers the version in force, and whether this call made it."""

    async def __call__(self, document: Mapping[str, object], *, by: str) -> tuple[Charter, bool]: ...


class ApplyPolicy(Protocol):
    async def __call__(self, text: str, *, by: Client) -> tuple[PolicySet, bool]: ...


class Explain(Protocol):
    async def __call__(self, session: Session) -> dict[str, object]: ...

    async def question(self, question: Question) -> dict[str, object]: ...


class ReviewSession(Protocol):
    async def __call__(self, session_id: SessionId, *, by: str, note: str) -> Review: ...


class Operate(Protocol):
    async def __call__(
        self,
        operator: Client,
        verb: str,
        thing: tuple[str, str],
        owner: Callable[[], Awaitable[str]],
        *,
        takes_away: bool,
    ) -> None: ...


class AddTarget(Protocol):
    async def __call__(
        self,
        *,
        name: str,
        provider: str,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
    ) -> Target: ...


class PreflightTarget(Protocol):
    async def __call__(self, name: str) -> tuple[Target, Sequence[Check]]: ...


class FindStanding(Protocol):
    async def __call__(self, name: str, /) -> Sequence[Standing]: ...


class Forward(Protocol):
    def __call__(
        self, session: SessionId, grant: str, request: Outgoing, /
    ) -> AbstractAsyncContextManager[Incoming]: ...


class ReplaceCredential(Protocol):
    async def __call__(self, name: str, secret: Secret, /) -> Target: ...


class ChangeTarget(Protocol):
    """Draining and removing have one shape."""

    async def __call__(self, name: str) -> Target: ...


class ReconcileTarget(Protocol):
    async def __call__(self, name: str) -> Reconciliation: ...

    async def apply(self, name: str, *, destroy_unknown: bool) -> Reconciliation: ...


class ReconcileSessions(Protocol):
    async def __call__(self, *, limit: int) -> Sequence[SessionId]: ...

    async def apply(self, *, by: str) -> None: ...


class WriteEvidence(Protocol):
    async def __call__(self, session: SessionId) -> str: ...


class RotateKey(Protocol):
    async def __call__(self, purpose: Purpose) -> SigningKey: ...


class RevokeKey(Protocol):
    async def __call__(self, kid: str, *, by: str) -> SigningKey: ...
