"""What the OAuth endpoints answer, for the OpenAPI document and for tests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sojourn.faces.http.answers import Answer, CredentialView


class GrantedTaskView(Answer):
    kind: str
    ref: str


class GrantedSessionView(Answer):
    """The session that was granted (RFC 9396, section 7)."""

    type: Literal["sojourn_session"]
    identifier: str
    task: GrantedTaskView
    grants: list[str]
    duration_s: int


class TokenResponseView(Answer):
    """A token (RFC 6749, section 5.1); credentials of an opened session are told this once."""

    access_token: str
    token_type: Literal["DPoP", "Bearer"]
    expires_in: int
    scope: str
    issued_token_type: str | None = None
    authorization_details: list[GrantedSessionView] | None = None
    credentials: list[CredentialView] | None = None


class ConfirmationView(Answer):
    jkt: str | None = None
    certificate: str | None = Field(default=None, alias="x5t#S256")


class IntrospectionView(Answer):
    """What a token is worth now; an inactive one has no member but the first."""

    active: bool
    token_type: Literal["DPoP", "Bearer"] | None = None
    iss: str | None = None
    sub: str | None = None
    client_id: str | None = None
    aud: str | None = None
    exp: int | None = None
    iat: int | None = None
    nbf: int | None = None
    jti: str | None = None
    cnf: ConfirmationView | None = None
    scope: str | None = None
    sid: str | None = None
    act: dict[str, object] | None = None
    may_act: dict[str, object] | None = None
    task: str | None = None
    owner: str | None = None
    charter: str | None = None


class StatusListsView(Answer):
    """Where the status lists are."""

    status_lists: list[str]


class MetadataView(Answer):
    """Authorization server metadata (RFC 8414)."""

    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    tls_client_certificate_bound_access_tokens: bool
    introspection_signing_alg_values_supported: list[str]
    dpop_signing_alg_values_supported: list[str]
    authorization_details_types_supported: list[str]
    status_list_aggregation_endpoint: str
    protected_resources: list[str]


class ResourceView(Answer):
    """Protected resource metadata (RFC 9728)."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    dpop_bound_access_tokens_required: bool
    dpop_signing_alg_values_supported: list[str]
