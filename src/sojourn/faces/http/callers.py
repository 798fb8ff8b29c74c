"""Who is calling: a client with its token, a session with its key, or a workload with evidence.

Three ways, as `wire` names them. C: `Authorization: DPoP` and a proof; the client is read from
the store on every call, so a removed one is out at once. S: a proof by the session's own key.
E: evidence in the body and a proof by the key the session will be bound to.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import uuid4

from fastapi import Depends, Request

from sojourn.core import proof
from sojourn.core.binding import from_cnf, is_certificate
from sojourn.core.change import Once
from sojourn.core.client import Client, Role
from sojourn.core.errors import Invalid, NotFound, Refused, Unauthenticated
from sojourn.core.ids import SESSION, ClientId, SessionId, to_uuid
from sojourn.core.nonce import nonces_at
from sojourn.core.session import Session
from sojourn.core.window import EPOCH
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.limits import ENDING
from sojourn.faces.http.peer import presented
from sojourn.faces.http.replay import mark_of
from sojourn.faces.http.rights import require_right
from sojourn.jose import verify_proof
from sojourn.jose.certificates import Certificate, matches

SCOPES: Final = {Role.WORKLOAD: "sessions", Role.GUARD: "feed", Role.OPERATOR: "operate"}
_LARGEST_DATE: Final = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class Holder:
    """The key that signed this request's proof, and the mark that makes the proof single-use."""

    thumbprint: str  # or the binding to a certificate (`core.binding`)
    once: Once
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Viewed:
    """A session, and who may look at it; `client` is None when it is the session itself."""

    session: Session
    client: Client | None
    once: Once

    @property
    def source(self) -> str:
        """Who acts, as causes carry it."""
        return f"client:{self.client.name}" if self.client else "workload"


def holder(request: Request, *, token: str | None = None, key: str | None = None) -> Holder:
    """The key whose possession the request proves; the proof is not yet counted as used.

    Raises:
        Unauthenticated: code `missing_proof`, `bad_proof` or `wrong_key`.
        NonceWanted: this server wants one in proofs.
    """
    desk = desk_of(request)
    proofs = request.headers.getlist("dpop")
    shown_certificate = None if proofs else presented(request, desk.peers)
    if shown_certificate is not None:
        return _by_certificate(shown_certificate, key, desk.clock.now())
    if len(proofs) != 1 or "," in proofs[0]:
        raise Unauthenticated("missing_proof", f"expected exactly one DPoP proof, got {len(proofs)}")
    ath = None if token is None else proof.ath_of(token)
    nonces = () if desk.nonce_secret is None else nonces_at(desk.nonce_secret, desk.clock.now())
    return held_by(request, proofs[0], proof.Demand(request.method, url_of(request, desk), key, ath, nonces))


def held_by(request: Request, compact: str, demand: proof.Demand) -> Holder:
    """The key behind one proof that meets `demand`, wherever in the request it stands.

    Raises:
        Unauthenticated: code `bad_proof` or `wrong_key`.
        NonceWanted: `demand` wants one.
    """
    now = desk_of(request).clock.now()
    shown = verify_proof(compact).read()
    proof.judge(shown, demand, now)
    return Holder(shown.key, mark_of(shown, now))


def _by_certificate(shown: Certificate, key: str | None, now: datetime) -> Holder:
    """The holder of a certificate, as TLS has shown it for this connection: nothing can be replayed."""
    if key is not None and key != shown.binding:
        raise Unauthenticated("wrong_key", "the token is bound to another certificate, or to a key")
    return Holder(shown.binding, Once("tls", uuid4().hex, now), shown)


def url_of(request: Request, desk: Desk) -> str:
    """The public URL of this request: the issuer's, with the path as it was sent."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return desk.settings.issuer.rstrip("/") + raw.decode("latin-1").partition("?")[0]


async def client_of(request: Request) -> tuple[Client, Once]:
    """The registered client behind a token and a proof by the token's key.

    Raises:
        Unauthenticated: code `missing_token`, `bad_token`, `bad_proof` or `client_removed`.
    """
    desk = desk_of(request)
    compact = _token(request)
    claims = desk.verbs.own_tokens.clients(compact)
    now = desk.clock.now()
    _check_token(claims, desk.settings.issuer, now)
    binding = from_cnf(claims.get("cnf")) or ""
    _check_scheme(request, binding)
    held = holder(request, token=compact, key=binding)
    _pace(request, held)
    await desk.replays.spend(held.once)
    client = await desk.store.client(ClientId(str(claims["sub"])))
    if client is None or client.removed_at is not None or not speaks_for(held, client, desk):
        raise Unauthenticated("client_removed", "the token's client is not registered")
    return client, held.once


def speaks_for(held: Holder, client: Client, desk: Desk) -> bool:
    """Whether the key or certificate is the one, or one of those, that the client is registered with."""
    if held.certificate is None:
        return hmac.compare_digest(client.thumbprint.encode(), held.thumbprint.encode())
    rule = client.certificate
    return bool(rule) and matches(rule, held.certificate, desk.peers.authorities, desk.clock.now())


def _check_scheme(request: Request, binding: str) -> None:
    """A token bound to a key comes with a proof, as `DPoP`; one bound to a certificate as `Bearer`."""
    scheme = request.headers["authorization"].partition(" ")[0].lower()
    if scheme != ("bearer" if is_certificate(binding) else "dpop"):
        raise Unauthenticated("missing_token", "the token is bound, and was sent by another scheme")


def _pace(request: Request, held: Holder) -> None:
    """Tell the holder of a key that calls too often to wait, unless it takes access away.

    Raises:
        Unavailable: code `too_many_calls`.
    """
    route = getattr(request.scope.get("route"), "path", "")
    if not route.endswith(ENDING):
        desk = desk_of(request)
        desk.pace.take(held.thumbprint, desk.clock.monotonic())


def _token(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() not in ("dpop", "bearer") or not token:
        raise Unauthenticated("missing_token", "expected one header `Authorization: DPoP TOKEN`")
    return token


def _check_token(claims: Mapping[str, object], issuer: str, now: datetime) -> None:
    if claims.get("iss") != issuer or claims.get("aud") != issuer:
        raise Unauthenticated("bad_token", "the token was not made by us for us")
    expires = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int) or expires > _LARGEST_DATE:
        raise Unauthenticated("bad_token", "claim `exp` is no date")
    if (now - EPOCH).total_seconds() >= expires:
        raise Unauthenticated("bad_token", "the token has expired")
    if not isinstance(claims.get("sub"), str) or "sid" in claims:
        raise Unauthenticated("bad_token", "the token is no client's")


async def with_role(request: Request, *roles: Role) -> tuple[Client, Once]:
    """A client of one of `roles`.

    Raises:
        Refused: code `wrong_role`; for an operator also `policy_refused` or `policy_error`.
    """
    client, once = await client_of(request)
    if client.role not in roles:
        raise Refused("wrong_role", f"expected role {' or '.join(roles)}, the client is a {client.role}")
    if client.role is Role.OPERATOR:
        await require_right(request, client)
    return client, once


async def _reading_operator(request: Request) -> Client:
    return (await with_role(request, Role.OPERATOR))[0]


async def _writing_operator(request: Request) -> Client:
    client, _ = await with_role(request, Role.OPERATOR)
    return client


async def _lister(request: Request) -> Client:
    return (await with_role(request, Role.OPERATOR, Role.WORKLOAD))[0]


async def session_holder(request: Request, session_id: str) -> Viewed:
    """S: the session whose bound key signed the proof; any other caller learns nothing."""
    desk = desk_of(request)
    if "authorization" in request.headers:
        raise Unauthenticated("bad_proof", "this route takes the session's own proof and no token")
    held = holder(request)
    _pace(request, held)
    await desk.replays.spend(held.once)
    session = await find(desk, session_id)
    if not hmac.compare_digest(session.key, held.thumbprint):
        raise no_such_session()
    return Viewed(session, None, held.once)


async def viewer(request: Request, session_id: str) -> Viewed:
    """C operator, C the session's own workload, or S."""
    if "authorization" not in request.headers:
        return await session_holder(request, session_id)
    client, once = await with_role(request, Role.OPERATOR, Role.WORKLOAD)
    session = await find(desk_of(request), session_id)
    if client.role is not Role.OPERATOR and session.client != client.id:
        raise no_such_session()
    return Viewed(session, client, once)


async def changer(request: Request, session_id: str) -> Viewed:
    """C operator or S, for what changes the session."""
    viewed = await viewer(request, session_id)
    if viewed.client is not None and viewed.client.role is not Role.OPERATOR:
        raise Refused("wrong_role", "expected an operator, or the session's own key")
    return viewed


async def stopper(request: Request, session_id: str) -> Viewed:
    """C operator, for killing and suspending."""
    client = await _writing_operator(request)
    session = await find(desk_of(request), session_id)
    return Viewed(session, client, Once("", "", desk_of(request).clock.now()))


async def find(desk: Desk, session_id: str) -> Session:
    """The session of that id.

    Raises:
        NotFound: code `not_found`, the same words for every id.
    """
    try:
        to_uuid(SESSION, session_id)
    except Invalid as error:
        raise no_such_session() from error
    session = await desk.store.session(SessionId(session_id))
    if session is None:
        raise no_such_session()
    return session


def no_such_session() -> NotFound:
    """What everybody hears who may not know of a session, or asks for one that is not there."""
    return NotFound("not_found", "there is no such session, or you may not know of it")


ReadingOperator = Annotated[Client, Depends(_reading_operator)]
WritingOperator = Annotated[Client, Depends(_writing_operator)]
Lister = Annotated[Client, Depends(_lister)]
SessionHolder = Annotated[Viewed, Depends(session_holder)]
Viewer = Annotated[Viewed, Depends(viewer)]
Changer = Annotated[Viewed, Depends(changer)]
Stopper = Annotated[Viewed, Depends(stopper)]
