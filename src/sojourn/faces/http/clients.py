"""Registered callers: enrol, list, remove."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.core.client import Role
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import CLIENT, ClientId, to_uuid
from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.schemas import ClientBody
from sojourn.jose import VerifyKey
from sojourn.jose.certificates import check_rule


async def register_client(request: Request, caller: WritingOperator, body: ClientBody) -> Response:
    """Register a caller by its public key, or a workload by the rule of its platform."""
    if body.attestor is not None:
        return await _federate(request, body, body.attestor)
    _check_audience(body)
    if body.rule or (body.jwk is None and body.certificate is None):
        raise Invalid("invalid_request", "expected `jwk` or `certificate`, or `attestor` with its `rule`")
    # A point that is not on the curve is refused here.
    jwk = {} if body.jwk is None else VerifyKey.from_jwk(body.jwk.members()).jwk
    rule = {str(kind): value for kind, value in (body.certificate or {}).items()}
    if rule:
        check_rule(rule)
    client = await desk_of(request).verbs.register_client(
        name=body.name,
        role=Role(body.role),
        owner=body.owner,
        jwk=jwk,
        audience=body.audience,
        certificate=rule,
    )
    return views.reply(views.client(client), 201)


async def _federate(request: Request, body: ClientBody, attestor: str) -> Response:
    if body.role != "workload" or body.jwk or body.audience is not None or body.certificate:
        raise Invalid("invalid_request", "a rule is for a workload, and stands in for its key")
    client = await desk_of(request).verbs.federate_client(
        name=body.name, owner=body.owner, attestor=attestor, rule=body.rule
    )
    return views.reply(views.client(client), 201)


def _check_audience(body: ClientBody) -> None:
    if (body.role == "guard") != (body.audience is not None):
        raise Invalid("invalid_request", "a guard has an audience, and nobody else has")


async def list_clients(request: Request, caller: ReadingOperator) -> Response:
    """List every caller that was ever registered."""
    return views.reply({"clients": [views.client(c) for c in await desk_of(request).store.clients()]})


async def remove_client(request: Request, caller: WritingOperator, client_id: str) -> Response:
    """Remove a caller and end its sessions."""
    try:
        to_uuid(CLIENT, client_id)
    except Invalid as error:
        raise NotFound("not_found", "there is no such client") from error
    removed = await desk_of(request).verbs.remove_client(ClientId(client_id), by=caller.name)
    return views.reply(views.client(removed))
