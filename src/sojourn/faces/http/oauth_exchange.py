"""Token exchange (RFC 8693): another audience of the same session, or a child of it.

The subject token is a token of a session. Alone, it is exchanged by the holder of that session's
key and stays that session's: nobody is impersonated. With an actor token, the parent's introduction
of another key, it becomes the token of a child session, in whose name `act` says who acts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.change import Change, Once
from sojourn.core.errors import Invalid, Refused, SojournError, Unauthenticated
from sojourn.core.family import ChildWish
from sojourn.core.ids import SessionId
from sojourn.core.session import Session
from sojourn.core.token import AccessClaims
from sojourn.core.window import from_micros
from sojourn.faces.http import views
from sojourn.faces.http.callers import Holder, holder
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.doors import ChildRequest
from sojourn.faces.http.oauth_client import asserted, recognise
from sojourn.faces.http.oauth_form import Form, SessionDetails
from sojourn.faces.http.oauth_sessions import answer, choose, grant
from sojourn.jose import verify_introduction

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
INTRODUCTION_MARK: Final = "introduction"


async def exchange(request: Request, form: Form) -> Response:
    """A token of a session for another one."""
    _check_types(form)
    desk, held = desk_of(request), holder(request)
    desk.replays.note(held.once, desk.clock.now())
    claims = await _subject(desk, form)
    marks = (held.once, *await _client_marks(request, form, claims))
    if form.get("actor_token") is not None:
        return await _for_a_child(desk, form, held, claims=claims, marks=marks)
    if held.thumbprint != claims.key:
        raise _not_the_holder(held)
    only = _actor(form, claims)
    await desk.store.commit(Change(once=marks))
    token = await desk.verbs.exchange(
        SessionId(claims.sid), claims.key, form.audience, form.scope, may_act=only
    )
    return views.reply({**grant(desk, token, claims.key), "issued_token_type": ACCESS_TOKEN})


def _actor(form: Form, claims: AccessClaims) -> str | None:
    """Whom the new token names as the only actor; one that is named already stays (RFC 8693, 4.4)."""
    details = form.details()
    wanted = None if details is None or details.may_act is None else details.may_act.sub
    if claims.may_act is not None and wanted not in (None, claims.may_act):
        raise Invalid("invalid_request", "the subject token names another actor already")
    return claims.may_act or wanted


def _not_the_holder(held: Holder) -> SojournError:
    said = "only the holder of the session's key or certificate exchanges its tokens"
    if held.certificate is not None:  # there is no proof that could be called wrong
        return Invalid("invalid_request", said)
    return Unauthenticated("wrong_key", said)


async def _subject(desk: Desk, form: Form) -> AccessClaims:
    try:
        return await desk.verbs.own_tokens.living(form.need("subject_token"))
    except Unauthenticated as error:
        raise Invalid("invalid_request", "the subject token is not one that is honoured now") from error


def _check_types(form: Form) -> None:
    if form.need("subject_token_type") not in (ACCESS_TOKEN, JWT):
        raise Invalid("invalid_request", "expected an access token of ours as the subject token")
    if form.get("requested_token_type") not in (None, ACCESS_TOKEN, JWT):
        raise Invalid("invalid_request", "only access tokens are issued here")
    actor, kind = form.get("actor_token"), form.get("actor_token_type")
    if (actor is None) != (kind is None) or kind not in (None, JWT):
        raise Invalid("invalid_request", "`actor_token` and its type, a JWT, come together")


async def _client_marks(request: Request, form: Form, claims: AccessClaims) -> tuple[Once, ...]:
    """A client that asserts itself must be the session's; who holds its key need not assert anything."""
    if asserted(form) is None:
        if form.get("client_id") not in (None, claims.subject):
            raise Invalid("unauthorized_client", "`client_id` is not the subject token's")
        return ()
    attestation = await recognise(request, form)
    if attestation.client.id != claims.subject:
        raise Invalid("unauthorized_client", "the subject token is of another client")
    return attestation.once


async def _for_a_child(
    desk: Desk, form: Form, held: Holder, *, claims: AccessClaims, marks: tuple[Once, ...]
) -> Response:
    try:
        shown = verify_introduction(form.need("actor_token"), desk.settings.issuer, desk.clock.now())
    except Unauthenticated as error:
        raise Invalid("invalid_request", f"the actor token is no introduction: {error.message}") from error
    if shown.parent_key != claims.key or shown.child_key != held.thumbprint:
        raise Invalid("invalid_request", "the introduction is not by the session's key, or of another key")
    if claims.may_act not in (None, held.thumbprint):
        raise Invalid("invalid_request", "the subject token lets another actor act, by `may_act`")
    once = Once(
        INTRODUCTION_MARK, f"{shown.parent_key}:{shown.jti}", from_micros(shown.expires_at * 1_000_000)
    )
    chosen = partial(choose, wanted=form.audience or claims.audience, scope=form.scope)
    asked = _asked(form.details(), held, (*marks, once), chosen)
    try:
        opening = await desk.verbs.open_child(SessionId(claims.sid), claims.key, asked)
    except Refused as refusal:
        if refusal.code != "replayed":
            raise
        raise Invalid("invalid_request", "the introduction was used before") from refusal
    activation = await desk.verbs.activate(opening.session)
    audience = chosen(activation.session)
    return answer(desk, activation, audience, form.scope, issued_token_type=ACCESS_TOKEN)


def _asked(
    details: SessionDetails | None,
    held: Holder,
    marks: tuple[Once, ...],
    fits: Callable[[Session], object],
) -> ChildRequest:
    details = details or SessionDetails("sojourn_session")
    details.refuse_actor()
    return ChildRequest(
        key=held.thumbprint,
        ref=details.task.ref if details.task else None,
        wish=ChildWish(tuple(details.grants), (), details.duration),
        context=details.context,
        once=marks,
        idempotency=None,
        request_hash="",
        fits=fits,
    )
