"""What callers receive, for the OpenAPI document and the tests that hold answers to it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sojourn.faces.http.charter_schemas import CharterBody, Class


class Answer(BaseModel):
    """Base of everything that is answered."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TaskView(Answer):
    kind: str
    ref: str


class TargetGrantView(Answer):
    name: str
    target: str
    template: str
    at_least: Class = "D"


class AudienceGrantView(Answer):
    name: str
    audience: str
    actions: list[str]


class WindowView(Answer):
    opens: str
    closes: str


class BeatRuleView(Answer):
    every_s: float
    missed_after_s: float
    suspend_first: bool
    evidence: str


class CauseView(Answer):
    reason: str
    source: str
    detail: str


class SessionView(Answer):
    """A session."""

    id: str
    state: Literal["requested", "approved", "active", "suspended", "revoking", "ended"]
    client: str
    owner: str
    task: TaskView
    charter: str
    grants: list[TargetGrantView | AudienceGrantView]
    window: WindowView
    last_end: str
    generation: int
    renewals_left: int
    beat: BeatRuleView
    phase: str | None
    supersedes: str | None
    attestor: str
    key: str
    context: dict[str, str]
    ancestors: list[str]
    requested_at: str
    refused_at: str | None
    ended_at: str | None
    cause: CauseView | None


class TokenView(Answer):
    audience: str
    access_token: str
    expires_at: str
    scope: str


class CredentialView(Answer):
    grant: str
    target: str
    provider: str
    connection: dict[str, str]
    secret: str


class OpenedView(Answer):
    """A session with everything its workload needs; secrets are shown this once."""

    session: SessionView
    tokens: list[TokenView]
    credentials: list[CredentialView]
    server_time: str
    beat_every_s: float


class RepeatedView(Answer):
    """The session an earlier call with this idempotency key made; its secrets left with that answer."""

    session: SessionView
    secret_spent: Literal[True]


class BeatView(Answer):
    session: SessionView
    tokens: list[TokenView]
    server_time: str
    beat_every_s: float


class NarrowedView(Answer):
    session: SessionView
    tokens: list[TokenView]


class SessionsView(Answer):
    sessions: list[SessionView]
    next: str | None


class ResidualView(Answer):
    place: str
    until: str | None
    owner: str


class CountedView(Answer):
    """What a target counted of the use of a credential: statements that ran to their end, and rows."""

    calls: int
    rows: int


class LeaseView(Answer):
    id: str
    session: str
    state: Literal["planned", "issued", "frozen", "destroying", "destroyed"]
    target: str
    grant: str
    template: str
    narrowing: str | None
    handle: str
    revocation_class: str
    expires_at: str
    refused_at: str | None
    destroyed_at: str | None
    method: str | None
    residual: ResidualView | None
    used: CountedView | None


class LeasesView(Answer):
    leases: list[LeaseView]


class FeedEntryView(Answer):
    n: int
    kind: Literal["session", "client", "owner", "charter", "key", "everything", "signer"]
    id: str
    min_gen: int | None


class FeedView(Answer):
    epoch: int
    n: int
    server_time: str
    snapshot: bool
    entries: list[FeedEntryView]


class ClientView(Answer):
    id: str
    name: str
    role: Literal["workload", "guard", "operator"]
    owner: str
    jwk: dict[str, str]
    thumbprint: str
    audience: str | None
    attestor: str
    rule: dict[str, str]
    certificate: dict[str, str]
    registered_at: str
    removed_at: str | None


class ClientsView(Answer):
    clients: list[ClientView]


class LoginView(Answer):
    client_id: str
    name: str
    role: Literal["operator"]
    issuer: str


class AppliedView(Answer):
    name: str
    number: int
    changed: bool


class CharterView(CharterBody):
    """A charter version: the document, its number, and who applied it when."""

    number: int
    applied_at: str
    applied_by: str


class ChartersView(Answer):
    charters: list[CharterView]


class TargetView(Answer):
    id: str
    name: str
    provider: str
    state: Literal["untried", "ready", "unfit", "draining", "removed"]
    settings: dict[str, object]
    templates: dict[str, dict[str, object]]
    revocation_class: str
    added_at: str
    preflight_at: str | None
    secret_number: int


class StandingView(Answer):
    kind: str
    place: str
    name: str
    created_at: str | None
    last_used_at: str | None
    expires_at: str | None
    owner_guess: str | None
    privileged: bool
    exposed: bool
    grants: dict[str, dict[str, object]] | None


class StandingsView(Answer):
    standing: list[StandingView]


class TargetsView(Answer):
    targets: list[TargetView]


class CheckView(Answer):
    name: str
    ok: bool
    took_ms: float
    detail: str
    mend: str


class PreflightView(Answer):
    target: TargetView
    checks: list[CheckView]


class FoundView(Answer):
    handle: str
    target_id: str
    created_at: str | None


class RemovedView(Answer):
    handle: str
    presence: Literal["absent", "lingering", "quarantined", "present"]


class ReconciliationView(Answer):
    unknown: list[FoundView]
    missing: list[str]
    known: int
    due: list[str]
    waiting: bool
    listed: bool
    destroyed: list[RemovedView]


class WaitingSessionsView(Answer):
    sessions: list[str]
    more: bool


class ProblemView(BaseModel):
    """RFC 9457; extension members depend on the code."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    title: str
    status: int
    detail: str
    code: str


class OAuthErrorView(Answer):
    error: str
    error_description: str


class ClientTokenView(Answer):
    access_token: str
    token_type: Literal["DPoP", "Bearer"]
    expires_in: int
    scope: str


class FeedPromiseView(Answer):
    period_s: float
    deaf_after_s: float


class DeploymentView(Answer):
    issuer: str
    log_vkey: str
    log_vkeys: list[str]
    log_origin: str
    feed: FeedPromiseView
    server_time: str


class HealthView(Answer):
    status: Literal["ok"]


class ReadyView(Answer):
    status: Literal["ok"]
    mode: Literal["normal", "reconcile"]


class KeysView(Answer):
    keys: list[dict[str, str]]


class SigningKeyView(Answer):
    """The public half of a signing key, and how far its life has come."""

    kid: str
    purpose: Literal["tokens", "introspection", "status", "events", "checkpoints"]
    state: Literal["next", "active", "verify_only", "revoked"]
    algorithm: str
    jwk: dict[str, str]
    made_at: str
    activated_at: str | None
    retired_at: str | None
    revoked_at: str | None


class SigningKeysView(Answer):
    keys: list[SigningKeyView]


class MetadataView(Answer):
    """Authorization server metadata (RFC 8414)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    tls_client_certificate_bound_access_tokens: bool
    dpop_signing_alg_values_supported: list[str]
    scopes_supported: list[str]
