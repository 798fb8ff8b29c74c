"""OAuth 2.0 for our own clients: `client_credentials`, `private_key_jwt`, DPoP, and nothing else.

Errors are in OAuth's form. A token names a registered client and is bound to its key; the
client is looked up again on every call, so the token's life matters little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.responses import Response

from sojourn.core.change import Change
from sojourn.core.client import Client
from sojourn.core.errors import Invalid, Refused, SojournError, Unauthenticated
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.callers import SCOPES, Holder, holder
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.limits import CLIENT_TOKEN_LIFE, FORM_FIELDS
from sojourn.faces.http.problems import oauth_error
from sojourn.faces.http.tls_client import METHODS, by_certificate
from sojourn.ports.attestor import Evidence

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TAKEN: Final = frozenset({"grant_type", "client_assertion_type", "client_assertion", "client_id", "scope"})


async def token(request: Request) -> Response:
    """Give a registered client a token bound to its key (RFC 6749, section 4.4)."""
    try:
        return await _token(request)
    except SojournError as error:
        return oauth_error(error)


async def _token(request: Request) -> Response:
    desk = desk_of(request)
    form = _form(await request.body())
    held = holder(request)
    client = await _recognise(desk, form, held)
    scope = SCOPES[client.role]
    if not set(form.get("scope", scope).split()) <= {scope}:
        raise Invalid("invalid_request", f"the only scope of this client is `{scope}`")
    minted = desk.verbs.mint.client_token(client, key=held.thumbprint)
    life, kind = int(CLIENT_TOKEN_LIFE.total_seconds()), "DPoP" if held.certificate is None else "Bearer"
    return views.reply({"access_token": minted.jwt, "token_type": kind, "expires_in": life, "scope": scope})


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError as error:
        raise Invalid("invalid_request", "expected a form in ASCII with few fields") from error
    form = dict(pairs)
    if len(form) != len(pairs) or not form.keys() <= _TAKEN:
        raise Invalid("invalid_request", "a parameter is repeated or unknown")
    if form.get("grant_type") != "client_credentials":
        raise Invalid("unsupported_grant_type", "expected `grant_type=client_credentials`")
    return form


async def _recognise(desk: Desk, form: Mapping[str, str], held: Holder) -> Client:
    if held.certificate is not None and "client_assertion" not in form:
        return await by_certificate(desk, form.get("client_id"), held)
    if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
        raise Unauthenticated("bad_evidence", "expected a client assertion (RFC 7523)")
    now = desk.clock.now()
    evidence = Evidence("private_key_jwt", form["client_assertion"])
    attestation = await desk.attestors["private_key_jwt"].attest(evidence, now)
    client = attestation.client
    if form.get("client_id", client.id) != client.id or client.thumbprint != held.thumbprint:
        raise Unauthenticated("bad_evidence", "assertion, proof and `client_id` are not of one client")
    desk.replays.note(held.once, now)
    try:
        await desk.store.commit(Change(once=(*attestation.once, held.once)))
    except Refused as error:
        raise Unauthenticated("bad_evidence", "the assertion or the proof was used before") from error
    return client


async def keys(request: Request) -> Response:
    """The public keys of everything we sign as a JWT (RFC 7517): next, active and verify-only."""
    return views.reply({"keys": [dict(key) for key in desk_of(request).keys.published()]})


async def metadata(request: Request) -> Response:
    """What this authorization server offers (RFC 8414)."""
    issuer = desk_of(request).settings.issuer
    return views.reply(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth2/token",
            "jwks_uri": f"{issuer}/oauth2/jwks",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", *METHODS],
            "tls_client_certificate_bound_access_tokens": True,
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "scopes_supported": sorted(SCOPES.values()),
        }
    )


async def deployment(request: Request) -> Response:
    """What guards, verifiers and the command need to know of this deployment."""
    desk = desk_of(request)
    feed = {
        "period_s": desk.settings.feed_period.total_seconds(),
        "deaf_after_s": desk.settings.deaf_after.total_seconds(),
    }
    return views.reply(
        {
            "issuer": desk.settings.issuer,
            "log_vkey": desk.notes.vkey,
            "log_vkeys": list(desk.notes.vkeys),
            "log_origin": desk.notes.name,
            "feed": feed,
            "server_time": show(desk.clock.now()),
        }
    )
