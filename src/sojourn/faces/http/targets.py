"""Targets: add, look, try out, drain, remove, compare with what is on record."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid, NotFound
from sojourn.core.secret import Secret
from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.schemas import CredentialBody, ReconcileBody, TargetBody


async def add_target(request: Request, caller: WritingOperator, body: TargetBody) -> Response:
    """Add a target and seal its admin credential; it opens nothing before a preflight."""
    target = await desk_of(request).verbs.add_target(
        name=body.name,
        provider=body.provider,
        settings=body.settings,
        templates=body.templates,
        secret=Secret(body.secret),
    )
    return views.reply(views.target(target), 201)


async def list_targets(request: Request, caller: ReadingOperator) -> Response:
    """List the targets."""
    return views.reply({"targets": [views.target(t) for t in await desk_of(request).store.targets()]})


async def show_target(request: Request, caller: ReadingOperator, name: str) -> Response:
    """Show a target."""
    target = await desk_of(request).store.target_named(name)
    if target is None:
        raise NotFound("not_found", "there is no such target")
    return views.reply(views.target(target))


async def preflight_target(request: Request, caller: WritingOperator, name: str) -> Response:
    """Make a canary, use it, cut it, prove it dead; say what is missing."""
    target, checks = await desk_of(request).verbs.preflight_target(name)
    return views.reply({"target": views.target(target), "checks": [views.check(c) for c in checks]})


async def replace_credential(
    request: Request, caller: WritingOperator, name: str, body: CredentialBody
) -> Response:
    """Use another admin credential from now on, once the target has answered to it."""
    target = await desk_of(request).verbs.replace_credential(name, Secret(body.secret))
    return views.reply(views.target(target))


async def find_standing(request: Request, caller: ReadingOperator, name: str) -> Response:
    """List the credentials of a target that no session has made."""
    found = await desk_of(request).verbs.find_standing(name)
    return views.reply({"standing": [views.standing(one) for one in found]})


async def drain_target(request: Request, caller: WritingOperator, name: str) -> Response:
    """Make no new credential in a target; living ones run to their end."""
    return views.reply(views.target(await desk_of(request).verbs.drain_target(name)))


async def remove_target(request: Request, caller: WritingOperator, name: str) -> Response:
    """Remove a target that holds no credential of ours."""
    return views.reply(views.target(await desk_of(request).verbs.remove_target(name)))


async def reconcile_target(request: Request, caller: ReadingOperator, name: str) -> Response:
    """Compare what the target holds under our prefix with what is on record."""
    return views.reply(views.reconciliation(await desk_of(request).verbs.reconcile_target(name)))


async def apply_reconciliation(
    request: Request, caller: WritingOperator, name: str, body: ReconcileBody
) -> Response:
    """Compare; with `apply` let destroying go on after a restore, with `destroy_unknown` remove the rest."""
    verb = desk_of(request).verbs.reconcile_target
    if body.apply:
        return views.reply(views.reconciliation(await verb.apply(name, destroy_unknown=body.destroy_unknown)))
    if body.destroy_unknown:
        raise Invalid("invalid_request", "`destroy_unknown` needs `apply`")
    return views.reply(views.reconciliation(await verb(name)))
