"""Our values as JSON: the one place where members get the names they have on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from starlette.responses import Response

from sojourn.core.client import Client
from sojourn.core.lease import Counted, Lease
from sojourn.core.scope import Grant, TargetGrant
from sojourn.core.session import Session
from sojourn.core.signing_key import SigningKey
from sojourn.core.standing import Standing
from sojourn.core.target import Target
from sojourn.core.window import show
from sojourn.faces.http.doors import Credential, Reconciliation, Token
from sojourn.ports.provider import Check
from sojourn.ports.store import FeedPage

Json = dict[str, object]


def reply(value: Mapping[str, object], status: int = 200) -> Response:
    """`value` as a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _show(instant: datetime | None) -> str | None:
    return None if instant is None else show(instant)


def session(value: Session) -> Json:
    """A session."""
    cause = value.cause
    return {
        "id": value.id,
        "state": value.state,
        "client": value.client,
        "owner": value.owner,
        "task": {"kind": value.task.kind, "ref": value.task.ref},
        "charter": value.charter,
        "grants": [_grant(g) for g in value.grants.each()],
        "window": {"opens": show(value.window.opens), "closes": show(value.window.closes)},
        "last_end": show(value.last_end),
        "generation": value.generation,
        "renewals_left": value.renewals_left,
        "beat": {
            "every_s": value.beat.every.total_seconds(),
            "missed_after_s": value.beat.missed_after.total_seconds(),
            "suspend_first": value.beat.suspend_first,
            "evidence": value.beat.evidence,
        },
        "phase": value.phase,
        "supersedes": value.supersedes,
        "attestor": value.attestor,
        "key": value.key,
        "context": dict(value.context),
        "ancestors": list(value.ancestors),
        "requested_at": show(value.requested_at),
        "refused_at": _show(value.refused_at),
        "ended_at": _show(value.ended_at),
        "cause": cause and {"reason": cause.reason, "source": cause.source, "detail": cause.detail},
    }


def _grant(grant: Grant) -> Json:
    if isinstance(grant, TargetGrant):
        least = {} if grant.at_least is None else {"at_least": grant.at_least}
        return {"name": grant.name, "target": grant.target, "template": grant.template, **least}
    return {"name": grant.name, "audience": grant.audience, "actions": list(grant.actions)}


def tokens(values: Iterable[Token]) -> list[Json]:
    """Access tokens, as handed to the session's own key."""
    return [
        {"audience": t.audience, "access_token": t.jwt, "expires_at": show(t.expires_at), "scope": t.scope}
        for t in values
    ]


def credentials(values: Iterable[Credential]) -> list[Json]:
    """Downstream credentials: the only place where their secrets leave."""
    return [
        {
            "grant": c.grant,
            "target": c.target,
            "provider": c.provider,
            "connection": dict(c.connection),
            "secret": c.secret.reveal(),
        }
        for c in values
    ]


def lease(value: Lease, refused_at: datetime | None) -> Json:
    """A lease, with the moment its session began to end."""
    left = value.residual
    return {
        "id": value.id,
        "session": value.session,
        "state": value.state,
        "target": value.target_name,
        "grant": value.grant,
        "template": value.template,
        "narrowing": value.narrowing,
        "handle": value.handle,
        "revocation_class": value.revocation_class,
        "expires_at": show(value.expires_at),
        "refused_at": _show(refused_at),
        "destroyed_at": _show(value.destroyed_at),
        "method": value.method,
        "residual": left and {"place": left.place, "until": _show(left.until), "owner": left.owner},
        "used": value.used and counted(value.used),
    }


def counted(value: Counted) -> Json:
    """What a target counted of the use of a credential."""
    return {"calls": value.calls, "rows": value.rows}


def feed(page: FeedPage, now: datetime) -> Json:
    """A page of the feed."""
    return {
        "epoch": page.mark.epoch,
        "n": page.mark.n,
        "server_time": show(now),
        "snapshot": page.snapshot,
        "entries": [
            {"n": e.n, "kind": e.kind, "id": e.id, "min_gen": e.min_generation} for e in page.entries
        ],
    }


def client(value: Client) -> Json:
    """A registered caller; of its key we only ever had the public half."""
    return {
        "id": value.id,
        "name": value.name,
        "role": value.role,
        "owner": value.owner,
        "jwk": dict(value.jwk),
        "thumbprint": value.thumbprint,
        "audience": value.audience,
        "attestor": value.attestor,
        "rule": dict(value.rule),
        "certificate": dict(value.certificate),
        "registered_at": show(value.registered_at),
        "removed_at": _show(value.removed_at),
    }


def target(value: Target) -> Json:
    """A target; its admin credential is elsewhere."""
    return {
        "id": value.id,
        "name": value.name,
        "provider": value.provider,
        "state": value.state,
        "settings": dict(value.settings),
        "templates": {name: dict(t) for name, t in value.templates.items()},
        "revocation_class": value.revocation_class,
        "added_at": show(value.added_at),
        "preflight_at": _show(value.preflight_at),
        "secret_number": value.secret_number,
    }


def standing(value: Standing) -> Json:
    """A credential with no session behind it; the caller judges how bad that is."""
    return {
        "kind": value.kind,
        "place": value.place,
        "name": value.name,
        "created_at": _show(value.created_at),
        "last_used_at": _show(value.last_used_at),
        "expires_at": _show(value.expires_at),
        "owner_guess": value.owner_guess,
        "privileged": value.privileged,
        "exposed": value.exposed,
        "grants": None if value.grants is None else {k: dict(v) for k, v in value.grants.items()},
    }


def signing_key(value: SigningKey) -> Json:
    """A signing key; its private half never leaves the vault."""
    return {
        "kid": value.id,
        "purpose": value.purpose,
        "state": value.state,
        "algorithm": value.algorithm,
        "jwk": dict(value.jwk),
        "made_at": show(value.made_at),
        "activated_at": _show(value.activated_at),
        "retired_at": _show(value.retired_at),
        "revoked_at": _show(value.revoked_at),
    }


def check(value: Check) -> Json:
    """One line of a preflight."""
    return {
        "name": value.name,
        "ok": value.ok,
        "took_ms": value.took_ms,
        "detail": value.detail,
        "mend": value.mend,
    }


def reconciliation(value: Reconciliation) -> Json:
    """What a target holds against what is on record."""
    return {
        "unknown": [
            {"handle": f.handle, "target_id": f.target_id, "created_at": _show(f.created_at)}
            for f in value.unknown
        ],
        "missing": list(value.missing),
        "known": value.known,
        "due": list(value.due),
        "waiting": value.waiting,
        "listed": value.listed,
        "destroyed": [{"handle": one.handle, "presence": one.presence} for one in value.destroyed],
    }
