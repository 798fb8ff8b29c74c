"""Tokens for those who prove who they are: a client's own token, or a session opened at the token endpoint.

A session is opened by the same services as everywhere else; here it only looks like OAuth
(RFC 6749 section 4.4, RFC 9396, RFC 7523 section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.binding import is_certificate
from sojourn.core.change import Change
from sojourn.core.errors import Invalid, Refused, Unauthenticated
from sojourn.core.session import Session, State
from sojourn.core.token import choose_audience
from sojourn.faces.http import views
from sojourn.faces.http.callers import SCOPES, Holder, holder, speaks_for
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.doors import Activation, OpenRequest, Token
from sojourn.faces.http.limits import CLIENT_TOKEN_LIFE
from sojourn.faces.http.oauth_client import asserted, certified, recognise
from sojourn.faces.http.oauth_form import DETAILS_TYPE, Form, SessionDetails
from sojourn.ports.attestor import Evidence


async def client_credentials(request: Request, form: Form) -> Response:
    """With `authorization_details` a session's token, without them a token for our own API."""
    details = form.details()
    if details is None:
        return await _client_token(request, form)
    evidence = asserted(form) or certified(request, form)
    if evidence is None:
        raise Unauthenticated("bad_evidence", "expected a client assertion (RFC 7523), or a certificate")
    return await _open(request, form, details, evidence)


async def jwt_bearer(request: Request, form: Form) -> Response:
    """A session for whoever an attestor recognises in the assertion of another issuer."""
    details = form.details()
    if details is None:
        raise Invalid("invalid_authorization_details", f"expected one of type `{DETAILS_TYPE}`")
    if asserted(form) is not None:
        raise Invalid("invalid_request", "the assertion says who asks; leave the client assertion out")
    known = desk_of(request).attestors
    kind = details.evidence or "private_key_jwt"
    if kind not in known:
        raise Invalid("invalid_grant", f"no evidence of type `{kind}` is recognised here")
    evidence = Evidence(kind, form.need("assertion"), details.client or "")
    return await _open(request, form, details, evidence)


async def _client_token(request: Request, form: Form) -> Response:
    desk = desk_of(request)
    if form.audience not in (None, desk.settings.issuer):
        raise Invalid("invalid_target", "a client's own token is for this server alone")
    held = holder(request)
    attestation = await recognise(request, form)
    client = attestation.client
    if not speaks_for(held, client, desk):
        raise Unauthenticated("bad_evidence", "assertion and proof are not of one client")
    scope = SCOPES[client.role]
    if not (form.scope or frozenset()) <= {scope}:
        raise Invalid("invalid_scope", f"the only scope of this client is `{scope}`")
    desk.replays.note(held.once, desk.clock.now())
    try:
        await desk.store.commit(Change(once=(*attestation.once, held.once)))
    except Refused as error:
        raise Unauthenticated("bad_evidence", "the assertion or the proof was used before") from error
    minted = desk.verbs.mint.client_token(client, key=held.thumbprint)
    life, kind = int(CLIENT_TOKEN_LIFE.total_seconds()), kind_of(held.thumbprint)
    return views.reply({"access_token": minted.jwt, "token_type": kind, "expires_in": life, "scope": scope})


async def _open(request: Request, form: Form, details: SessionDetails, evidence: Evidence) -> Response:
    desk, held = desk_of(request), holder(request)
    chosen = partial(choose, wanted=form.audience, scope=form.scope)
    desk.replays.note(held.once, desk.clock.now())
    opening = await desk.verbs.open_session(_asked(details, evidence, held, chosen))
    if opening.session.state is State.REQUESTED:
        raise Refused("authorization_pending", f"session {opening.session.id} waits to be approved")
    activation = await desk.verbs.activate(opening.session)
    return answer(desk, activation, chosen(activation.session), form.scope)


def _asked(
    details: SessionDetails, evidence: Evidence, held: Holder, fits: Callable[[Session], object]
) -> OpenRequest:
    return OpenRequest(
        evidence=evidence,
        task=details.wanted_task(),
        grants=tuple(details.grants),
        duration=details.duration,
        context=details.context,
        key=held.thumbprint,
        once=(held.once,),
        idempotency=None,
        request_hash="",
        fits=fits,
    )


def choose(session: Session, wanted: str | None, scope: frozenset[str] | None) -> str:
    """The audience of the token that is asked for.

    Raises:
        Invalid: code `invalid_target` or `invalid_scope`.
    """
    audience = choose_audience(session, wanted)
    if scope is not None and not scope <= set(session.grants.actions_at(audience)):
        raise Invalid("invalid_scope", "the session is not granted all of these actions at this audience")
    return audience


def answer(
    desk: Desk, activation: Activation, audience: str, scope: frozenset[str] | None, **more: object
) -> Response:
    """An active session as a token response; what it was granted beside the token is told once."""
    made = {token.audience: token for token in activation.tokens}
    token = made[audience]
    if scope is not None:
        token = desk.verbs.mint.one(activation.session, audience, activation.mark, only=scope)
    shown = {"credentials": views.credentials(activation.credentials)} if activation.credentials else {}
    return views.reply(
        {
            **grant(desk, token, activation.session.key),
            "authorization_details": [describe(activation.session)],
            **shown,
            **more,
        }
    )


def kind_of(binding: str) -> str:
    """How a token bound so is sent: with a proof, or over the connection that shows the certificate."""
    return "Bearer" if is_certificate(binding) else "DPoP"


def grant(desk: Desk, token: Token, binding: str) -> dict[str, object]:
    """What every token response holds (RFC 6749, section 5.1)."""
    left = int((token.expires_at - desk.clock.now()).total_seconds())
    return {
        "access_token": token.jwt,
        "token_type": kind_of(binding),
        "expires_in": max(left, 0),
        "scope": token.scope,
    }


def describe(session: Session) -> dict[str, object]:
    """The session that was granted, in the terms it was asked for (RFC 9396, section 7)."""
    return {
        "type": DETAILS_TYPE,
        "identifier": session.id,
        "task": {"kind": session.task.kind, "ref": session.task.ref},
        "grants": sorted(session.grants.names()),
        "duration_s": int((session.window.closes - session.window.opens).total_seconds()),
    }
