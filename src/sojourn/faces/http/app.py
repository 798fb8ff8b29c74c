"""The route table: read first. Every route, who may call it, and what it answers.

Below it, the app: FastAPI with the envelope around it and problems for every error. No route
exists that is not in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sojourn.core.errors import Invalid, NotFound, SojournError
from sojourn.faces.http import (
    answers,
    approvals,
    charters,
    children,
    clients,
    egress,
    feed,
    hooks,
    journal,
    keys,
    kills,
    login,
    moves,
    oauth,
    oauth_answers,
    oauth_inspect,
    oauth_metadata,
    oauth_status,
    opening,
    ops,
    policies,
    policy_answers,
    reconcile,
    reviews,
    sessions,
    signals,
    targets,
    usage,
)
from sojourn.faces.http.desk import Desk
from sojourn.faces.http.envelope import FORM_PATHS, SECURITY, Envelope
from sojourn.faces.http.hot import HotRoute, PlainRoute
from sojourn.faces.http.openapi import ANY, document_of, responses_of
from sojourn.faces.http.problems import problem, render
from sojourn.faces.http.straight import Straight


class Who(StrEnum):
    """How a route recognises its caller."""

    ANYBODY = "anybody"
    EVIDENCE = "evidence in the body and a proof"
    LINK = "a one-time link and a proof"
    CLIENT = "a client's token and a proof"
    SESSION = "a proof by the session's key"
    EITHER = "a client's token, or the session's key"
    SIGNATURE = "the signature or secret of the trigger or hook"
    ASSERTION = "a client assertion and a proof"
    ASKER = "a client's token and proof, or its assertion"


@dataclass(frozen=True, slots=True)
class Row:
    """One route."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    who: Who
    answer: type[BaseModel] | str  # a model, or the media type of an answer that is no JSON
    status: int = 200
    hot: bool = False
    also: dict[int, type[BaseModel]] = field(default_factory=dict)


A, E, L, C, S, CS = Who.ANYBODY, Who.EVIDENCE, Who.LINK, Who.CLIENT, Who.SESSION, Who.EITHER
TEXT, BYTES, METRICS = "text/plain", "application/octet-stream", "text/plain"
EGRESS: Final = "/egress/{session_id}/{grant}/{path:path}"
WELL_KNOWN: Final = "/.well-known/"
SES: Final = "/v1/sessions/{session_id}"
APR: Final = "/v1/approvals/{approval_id}"

ROUTES: Final = (
    Row("POST", "/oauth2/token", oauth.token, Who.ASSERTION, oauth_answers.TokenResponseView),
    Row("POST", "/oauth2/introspect", oauth_inspect.introspect, Who.ASKER, oauth_answers.IntrospectionView),
    Row("POST", "/oauth2/revoke", oauth_inspect.revoke, Who.ASKER, TEXT),
    Row("GET", "/oauth2/status", oauth_status.status_lists, A, oauth_answers.StatusListsView),
    Row("GET", "/oauth2/status/{name}", oauth_status.status_list, A, oauth_status.MEDIA_TYPE),
    Row("GET", "/oauth2/jwks", oauth_metadata.keys, A, answers.KeysView),
    Row(
        "GET",
        WELL_KNOWN + "oauth-authorization-server",
        oauth_metadata.metadata,
        A,
        oauth_answers.MetadataView,
    ),
    Row("GET", WELL_KNOWN + "openid-configuration", oauth_metadata.openid, A, oauth_answers.MetadataView),
    Row(
        "GET",
        WELL_KNOWN + "oauth-authorization-server/{rest:path}",
        oauth_metadata.metadata_of_path,
        A,
        oauth_answers.MetadataView,
    ),
    Row(
        "GET",
        WELL_KNOWN + "openid-configuration/{rest:path}",
        oauth_metadata.openid_of_path,
        A,
        oauth_answers.MetadataView,
    ),
    Row(
        "GET",
        WELL_KNOWN + "oauth-protected-resource",
        oauth_metadata.protected_resource,
        A,
        oauth_answers.ResourceView,
    ),
    Row("GET", WELL_KNOWN + "sojourn", oauth_metadata.deployment, A, answers.DeploymentView),
    Row("POST", "/v1/login", login.login, L, answers.LoginView, 201),
    Row("POST", "/v1/clients", clients.register_client, C, answers.ClientView, 201),
    Row("GET", "/v1/clients", clients.list_clients, C, answers.ClientsView),
    Row("DELETE", "/v1/clients/{client_id}", clients.remove_client, C, answers.ClientView),
    Row(
        "POST",
        "/v1/sessions",
        opening.open_session,
        E,
        answers.OpenedView,
        201,
        hot=True,
        also={200: answers.RepeatedView, 202: approvals.WaitingView},
    ),
    Row("GET", "/v1/sessions", sessions.list_sessions, C, answers.SessionsView),
    Row("GET", SES, sessions.show_session, CS, answers.SessionView),
    Row("GET", SES + "/leases", sessions.show_leases, CS, answers.LeasesView),
    Row("GET", SES + "/evidence", sessions.show_evidence, CS, TEXT),
    Row(
        "POST",
        SES + "/children",
        children.open_child,
        S,
        answers.OpenedView,
        201,
        hot=True,
        also={200: answers.RepeatedView},
    ),
    Row("POST", SES + "/beat", moves.beat, S, answers.BeatView, hot=True),
    Row("POST", SES + "/complete", moves.complete, S, answers.SessionView),
    Row("POST", SES + "/narrow", moves.narrow, CS, answers.NarrowedView),
    Row("POST", SES + "/activate", opening.activate, E, answers.OpenedView, hot=True),
    Row("POST", SES + "/phase", moves.enter_phase, CS, answers.NarrowedView),
    Row("POST", SES + "/kill", moves.kill, C, answers.SessionView),
    Row("POST", SES + "/suspend", moves.suspend, C, answers.SessionView),
    Row("POST", SES + "/resume", opening.resume, E, answers.OpenedView, hot=True),
    Row("POST", "/v1/kills", kills.order_kill, C, kills.KillView, 202, also={200: kills.CountView}),
    Row("POST", SES + "/step-up", approvals.ask_for_action, S, approvals.ApprovalView, 202),
    Row("POST", SES + "/step-up/{approval_id}", approvals.use_action, S, approvals.StepUpView),
    Row("GET", "/v1/approvals", approvals.list_approvals, C, approvals.ApprovalsView),
    Row("GET", APR, approvals.show_approval, C, approvals.ApprovalView),
    Row("POST", APR, approvals.answer_approval, C, approvals.ApprovalView),
    Row("POST", APR + "/withdraw", approvals.withdraw_approval, C, approvals.ApprovalView),
    Row("POST", "/v1/charters/{name}/approval", approvals.ask_for_template, C, approvals.ApprovalView, 201),
    Row("GET", "/v1/kills", kills.list_kills, C, kills.KillsView),
    Row("GET", "/v1/kills/{kill_id}", kills.show_kill, C, kills.KillView),
    Row(
        "POST",
        "/v1/offboardings",
        kills.offboard_owner,
        C,
        kills.OffboardedView,
        202,
        also={200: kills.OffboardedView},
    ),
    Row("POST", "/signals/{trigger}", signals.hear, Who.SIGNATURE, signals.HeardView),
    Row("POST", "/v1/triggers", signals.add_trigger, C, signals.TriggerView, 201),
    Row("GET", "/v1/triggers", signals.list_triggers, C, signals.TriggersView),
    Row("DELETE", "/v1/triggers/{name}", signals.remove_trigger, C, signals.TriggerView),
    Row("POST", "/answers/{hook}", hooks.answer_by_hook, Who.SIGNATURE, hooks.TakenView),
    Row("POST", "/v1/hooks", hooks.add_hook, C, hooks.HookView, 201),
    Row("GET", "/v1/hooks", hooks.list_hooks, C, hooks.HooksView),
    Row("DELETE", "/v1/hooks/{name}", hooks.remove_hook, C, hooks.HookView),
    Row("POST", "/v1/hooks/{name}/people", hooks.link_person, C, hooks.HookView),
    Row("DELETE", "/v1/hooks/{name}/people/{person}", hooks.unlink_person, C, hooks.HookView),
    Row("POST", "/v1/usage", usage.report_usage, C, usage.UsageView, hot=True),
    Row("GET", SES + "/usage", usage.show_usage, CS, usage.WeighedView),
    Row("POST", "/v1/feed", feed.follow, C, answers.FeedView, hot=True),
    Row("PUT", "/v1/charters", charters.apply_charter, C, answers.AppliedView),
    Row("GET", "/v1/charters", charters.list_charters, C, answers.ChartersView),
    Row("GET", "/v1/charters/{name}", charters.show_charter, C, answers.CharterView),
    Row("POST", SES + "/review", reviews.review_session, C, policy_answers.ReviewView),
    Row("GET", "/v1/reviews", reviews.list_reviews, C, policy_answers.ReviewsView),
    Row("PUT", "/v1/policies", policies.apply_policy, C, policy_answers.AppliedPolicyView),
    Row("GET", "/v1/policies", policies.show_policy, C, policy_answers.PolicyView),
    Row("POST", "/v1/policies/explain", policies.explain_question, C, policy_answers.ExplanationView),
    Row("GET", SES + "/explanation", policies.explain_session, CS, policy_answers.SessionExplanationView),
    Row("POST", "/v1/targets", targets.add_target, C, answers.TargetView, 201),
    Row("GET", "/v1/targets", targets.list_targets, C, answers.TargetsView),
    Row("GET", "/v1/targets/{name}", targets.show_target, C, answers.TargetView),
    Row("POST", "/v1/targets/{name}/preflight", targets.preflight_target, C, answers.PreflightView),
    Row("GET", "/v1/targets/{name}/standing", targets.find_standing, C, answers.StandingsView),
    Row("POST", "/v1/targets/{name}/credential", targets.replace_credential, C, answers.TargetView),
    Row("POST", "/v1/targets/{name}/drain", targets.drain_target, C, answers.TargetView),
    Row("DELETE", "/v1/targets/{name}", targets.remove_target, C, answers.TargetView),
    Row("GET", "/v1/targets/{name}/reconcile", targets.reconcile_target, C, answers.ReconciliationView),
    Row("POST", "/v1/targets/{name}/reconcile", targets.apply_reconciliation, C, answers.ReconciliationView),
    Row("GET", "/v1/reconcile", reconcile.waiting_sessions, C, answers.WaitingSessionsView),
    Row("POST", "/v1/reconcile", reconcile.release_sessions, C, answers.WaitingSessionsView),
    Row("GET", EGRESS, egress.forward_get, S, ANY),
    Row("POST", EGRESS, egress.forward_post, S, ANY),
    Row("PUT", EGRESS, egress.forward_put, S, ANY),
    Row("PATCH", EGRESS, egress.forward_patch, S, ANY),
    Row("DELETE", EGRESS, egress.forward_delete, S, ANY),
    Row("GET", "/v1/keys", keys.list_keys, C, answers.SigningKeysView),
    Row("POST", "/v1/keys/{purpose}/rotate", keys.rotate_key, C, answers.SigningKeyView),
    Row("DELETE", "/v1/keys/{kid}", keys.revoke_key, C, answers.SigningKeyView),
    Row("GET", "/log/checkpoint", journal.checkpoint, A, TEXT),
    Row("GET", "/log/tile/{level}/{index:path}", journal.tile, A, BYTES),
    Row("GET", "/healthz", ops.healthy, A, answers.HealthView),
    Row("GET", "/readyz", ops.ready, A, answers.ReadyView),
    Row("GET", "/metrics", ops.metrics, A, METRICS),
)


class _Face(FastAPI):
    """FastAPI without its telemetry: only our own log and metrics tell of a request, and by fingerprints."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Starlette.__call__(self, scope, receive, send)


def build(desk: Desk) -> FastAPI:
    """The app that serves the table, with `desk` behind it."""
    app = _Face(
        title="Sojourn",
        version="1",  # of the API, not of the software
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would not carry the proof's URL
        exception_handlers={
            SojournError: _problem,
            RequestValidationError: _invalid,
            HTTPException: _unrouted,
            Exception: _defect,
        },
    )
    app.state.desk = desk
    app.router.routes.extend(made_routes())
    straight = {route.path: route for route in app.routes if isinstance(route, PlainRoute)}
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    app.add_middleware(Straight, routes=straight)
    app.add_middleware(Envelope)  # the last one added is outermost
    return app


@cache
def made_routes() -> tuple[APIRoute, ...]:
    """Made once a process: a route keeps nothing of the app it serves, and costs over a millisecond."""
    return tuple(_route(row) for row in ROUTES)


def _route(row: Row) -> APIRoute:
    forms = PlainRoute if row.path in FORM_PATHS else APIRoute
    kind = HotRoute if row.hot else forms
    return kind(
        row.path,
        row.endpoint,
        methods=[row.method],
        status_code=row.status,
        response_model=None,
        responses=responses_of(row.method, row.path, row.status, row.answer, also=row.also),
        operation_id=row.endpoint.__name__,
        summary=(row.endpoint.__doc__ or "").partition(".")[0].partition("\n")[0],
        description=f"{row.endpoint.__doc__ or ''}\n\nCaller: {row.who.value}.",
    )


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, SojournError):
        raise error
    if isinstance(error, NotFound) and error.code == "unknown_session":
        error = NotFound("not_found", "there is no such session, or you may not know of it")
    return render(request.url.path, error)


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [
        {"where": ".".join(str(p) for p in one["loc"])[:200], "what": one["msg"][:200]} for one in found[:20]
    ]
    refusal = Invalid("invalid_request", "a member or parameter is missing, unknown or out of bounds")
    return problem(refusal, {"errors": errors})


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        answer = problem(Invalid("method_not_allowed", f"`{request.method[:20]}` is not offered here"))
        answer.headers["Allow"] = ", ".join(_methods_at(request))
        return answer
    if status == 404:
        return problem(NotFound("not_found", "there is no such path"))
    return problem(Invalid("malformed_body", "the request cannot be read"))


def _methods_at(request: Request) -> list[str]:
    """Every method of the path; one route knows only its own."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    here = [route.methods for route in routes if route.path_regex.match(request.url.path)]
    return sorted({method for methods in here for method in methods or ()})


async def _defect(request: Request, error: Exception) -> Response:
    """Our mistake: the log has the traceback, the caller gets a code."""
    answer = problem(SojournError("internal_error", "a defect of ours; nothing more was granted"))
    for name, value in SECURITY:  # Starlette answers defects outside of every other layer
        answer.headers[name] = value
    return answer
