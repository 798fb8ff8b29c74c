"""One live session, held by the workload's side: beat, narrow, complete, resume, look.

Synchronous and safe to share between threads. Beating is somebody else's loop (`beat.py`):
a beat says that the workload lives, never that it makes progress.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from time import sleep as pause
from typing import Final, TypeVar

from sojourn.client.caller import SessionCaller, prove, send_json, with_nonce
from sojourn.client.clock import EdgeClock
from sojourn.client.evidence import Source, Workload, workload_of
from sojourn.client.jsonfacts import Json, member, members
from sojourn.client.profile import Profile
from sojourn.client.signing import Es256Key
from sojourn.client.transport import Answer, Transport
from sojourn.client.views import (
    CredentialView,
    Opened,
    SessionView,
    TokenView,
    read_opened,
    read_session,
    read_tokens,
)
from sojourn.core.errors import Refused, SojournError, Unavailable

T = TypeVar("T")
_OPEN_TRIES: Final = 3
_ASK_AGAIN_S: Final = 2.0
_SEND_TRIES: Final = 4  # of what may be repeated; at a loss of 20 % one in 600 fails


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session is asked for."""

    kind: str
    ref: str
    grants: Sequence[str] | None = None
    duration: timedelta | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    supersedes: str | None = None  # the id of the session whose place it takes

    def to_json(self) -> dict[str, object]:
        """As the API wants it."""
        body: dict[str, object] = {"task": {"kind": self.kind, "ref": self.ref}}
        if self.grants is not None:
            body["grants"] = list(self.grants)
        if self.duration is not None:
            body["duration_s"] = int(self.duration.total_seconds())
        if self.context:
            body["context"] = dict(self.context)
        if self.supersedes is not None:
            body["supersedes"] = self.supersedes
        return body


@dataclass(frozen=True, slots=True)
class ChildWish:
    """What a child is asked for; None means what the parent has."""

    ref: str | None = None
    grants: Sequence[str] | None = None
    drop_actions: Sequence[str] = ()
    duration: timedelta | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As the API wants it."""
        body: dict[str, object] = {"drop_actions": list(self.drop_actions), "context": dict(self.context)}
        if self.ref is not None:
            body["ref"] = self.ref
        if self.grants is not None:
            body["grants"] = list(self.grants)
        if self.duration is not None:
            body["duration_s"] = int(self.duration.total_seconds())
        return body


class LiveSession:
    """A session whose key this program holds."""

    def __init__(self, source: Source | None, caller: SessionCaller, opened: Opened) -> None:
        self._source, self._caller, self._lock = source, caller, Lock()
        self.id = opened.session.id
        self.key = caller.key
        self.credentials: tuple[CredentialView, ...] = opened.credentials
        self._over = False
        self._heard(opened)

    @property
    def issuer(self) -> str:
        """The control plane that this session is of."""
        return self._caller.transport.issuer

    @property
    def view(self) -> SessionView:
        """The session as last heard of."""
        return self._view

    @property
    def live(self) -> bool:
        """Whether it may act, as far as is known here: exactly `active`, and not over."""
        return not self._over and self._view.state == "active"

    def token_for(self, audience: str) -> TokenView | None:
        """The latest token for `audience`, if the session is live and has one."""
        with self._lock:
            return self._tokens.get(audience) if self.live else None

    def mark_over(self) -> None:
        """Refuse everything from here on: the session ended, or may have."""
        self._over = True

    def beat(self, *, renew: bool = False) -> SessionView:
        """Say that the workload lives, with fresh evidence where it is owed; answers bring fresh tokens.

        A platform that does not vouch for the workload any more has ended it: that is reported.

        Raises:
            Refused: code `session_ended`, or another that ended it.
            Unavailable: the server, or the platform, could not be heard.
        """
        body: dict[str, object] = {"renew": True} if renew else {}
        if self._source is not None and self._owes_evidence():
            body["evidence"] = dict(self._gather(self._source))
        opened = read_opened(self._ask("POST", "/beat", body))
        self._heard(opened)
        return opened.session

    def narrow(
        self,
        *,
        drop: Sequence[str] = (),
        drop_actions: Sequence[str] = (),
        lower: Mapping[str, str] | None = None,
    ) -> SessionView:
        """Give up grants, actions, or rights of a grant (`lower`: to which template), for good."""
        body: dict[str, object] = {"drop": list(drop), "drop_actions": list(drop_actions)}
        return self._shrunk("/narrow", {**body, "lower": dict(lower)} if lower else body)

    def phase(self, name: str) -> SessionView:
        """Go on to the phase `name` of the charter; what it does not name is given up."""
        return self._shrunk("/phase", {"name": name})

    def _shrunk(self, rest: str, body: Json) -> SessionView:
        answer = self._ask("POST", rest, body)
        view, tokens = read_session(member(answer, "session")), read_tokens(answer)
        with self._lock:
            self._view, self._tokens = view, {t.audience: t for t in tokens}
        return view

    def complete(self) -> SessionView:
        """Say that the work is done; from here on nothing is permitted."""
        self.mark_over()
        return self._seen(read_session(self._ask("POST", "/complete", {})))

    def resume(self) -> Opened:
        """Prove again who this is, after a suspension; brings new secrets and tokens.

        Raises:
            Refused: code `no_evidence`; a child that was opened through its parent has none of its own.
        """
        if self._source is None:
            raise Refused("no_evidence", "this session has no evidence of its own to resume with")
        opened = read_opened(self._ask("POST", "/resume", {"evidence": dict(self._gather(self._source))}))
        self.credentials = opened.credentials
        self._heard(opened)
        return opened

    def child(self, wish: ChildWish | None = None, *, key: Es256Key | None = None) -> LiveSession:
        """Open a child of this session, bound to a key made here unless one is given.

        Raises:
            Refused: codes `session_ended`, `too_deep`, `too_many_children`.
            Invalid: code `unknown_grant`, `unknown_action` or `too_long`.
        """
        held, clock, wire = key or Es256Key.generate(), EdgeClock(), self._caller.transport
        url = wire.url(f"/v1/sessions/{self.id}/children")

        def introduce(body: Json, name: str) -> Json:
            return self.open_below(body, prove(held, clock, "POST", url), name)

        caller = SessionCaller(wire, held, clock)
        return open_child(introduce, wish or ChildWish(), caller, source=self._source)

    def open_below(self, body: Json, key_proof: str, idempotency: str) -> Json:
        """Ask for a child whose key signed `key_proof`; the answer as sent."""
        path, wire, clock = f"/v1/sessions/{self.id}/children", self._caller.transport, EdgeClock()

        def send() -> Answer:
            proof = prove(self.key, clock, "POST", wire.url(path), nonce=wire.nonce)
            headers = {"DPoP": proof, "Idempotency-Key": idempotency}
            return send_json(wire, "POST", path, {**body, "key_proof": key_proof}, headers=headers)

        return with_nonce(send).json()

    def look(self, *, until_ended_s: int = 0) -> SessionView:
        """Read it again; wait up to `until_ended_s` for it to be ended."""
        query = f"?until=ended&wait_s={until_ended_s}" if until_ended_s else ""
        return self._seen(read_session(self._ask("GET", query, wait_s=until_ended_s)))

    def leases(self) -> tuple[Json, ...]:
        """The records of its downstream credentials."""
        return members(self._ask("GET", "/leases"), "leases")

    def _owes_evidence(self) -> bool:
        beat = self.view.raw.get("beat")
        return isinstance(beat, dict) and beat.get("evidence") == "fresh" and self.view.state == "active"

    def _gather(self, source: Source) -> Json:
        try:
            return source.gather()
        except Refused as error:
            self.mark_over()
            # Lost, it is not repeated: the beat that fails to come says the same a little later.
            self._ask("POST", "/complete", {"job_finished": error.message[:500]})
            raise Refused("session_ended", "job_finished") from error

    def _ask(self, method: str, rest: str, body: Json | None = None, *, wait_s: float = 0.0) -> Json:
        answer: Answer = self._caller.ask(method, f"/v1/sessions/{self.id}{rest}", body, wait_s=wait_s)
        return answer.json()

    def _heard(self, opened: Opened) -> None:
        with self._lock:
            self._view = opened.session
            self._tokens = {t.audience: t for t in opened.tokens}
            self.closes_in = opened.session.closes - opened.heard_at

    def _seen(self, view: SessionView) -> SessionView:
        with self._lock:
            self._view = view
        return view


def open_session(
    who: Profile | Workload, wish: Wish, *, key: Es256Key | None = None, transport: Transport | None = None
) -> LiveSession:
    """Open a session for `wish`, bound to a key made here and kept in memory.

    An answer that was lost cannot be had again: the session it opened is ended and another
    one is asked for.

    Raises:
        SojournError: what the server answered.
    """
    workload = workload_of(who)
    clock, wire = EdgeClock(), transport or Transport(workload.issuer, tls=workload.tls)
    caller = SessionCaller(wire, key or Es256Key.generate(), clock)
    for _ in range(_OPEN_TRIES):
        opened = _open_once(workload.source, wish, caller, clock=clock)
        if opened.session.state == "requested":
            opened = _when_approved(workload.source, caller, opened.session)
        live = LiveSession(workload.source, caller, opened)
        if not opened.secret_spent:
            return live
        _until_answered(live.complete)
    raise Unavailable(
        "secret_lost", f"{_OPEN_TRIES} answers were lost on the way; the sessions they opened were ended"
    )


Introduce = Callable[[Json, str], Json]
"""Sends a child's request, under an idempotency key, with the parent's proof and the child's."""


def open_child(
    introduce: Introduce, wish: ChildWish, caller: SessionCaller, *, source: Source | None
) -> LiveSession:
    """Open a child through whoever holds the parent's key; a lost answer is dealt with as at an open."""
    for _ in range(_OPEN_TRIES):
        name = secrets.token_urlsafe(16)
        opened = _until_answered(lambda name=name: read_opened(introduce(wish.to_json(), name)))  # type: ignore[misc]
        live = LiveSession(source, caller, opened)
        if not opened.secret_spent:
            return live
        _until_answered(live.complete)
    raise Unavailable("secret_lost", f"{_OPEN_TRIES} answers were lost on the way")


def _open_once(source: Source, wish: Wish, caller: SessionCaller, *, clock: EdgeClock) -> Opened:
    name = secrets.token_urlsafe(16)
    return _until_answered(lambda: _send_open(source, wish, caller, clock=clock, name=name))


def _until_answered(send: Callable[[], T]) -> T:
    """Send what may be repeated again while its answers are lost; each time with a fresh proof."""
    for _ in range(_SEND_TRIES - 1):
        try:
            return send()
        except Unavailable as error:
            if error.code != "no_answer":
                raise
    return send()


def _send_open(source: Source, wish: Wish, caller: SessionCaller, *, clock: EdgeClock, name: str) -> Opened:
    body, transport = {**wish.to_json(), "evidence": dict(source.gather())}, caller.transport

    def send() -> Answer:
        url = transport.url("/v1/sessions")
        proof = prove(caller.key, clock, "POST", url, nonce=transport.nonce)
        headers = {"DPoP": proof, "Idempotency-Key": name}
        return send_json(transport, "POST", "/v1/sessions", body, headers=headers)

    return read_opened(with_nonce(send).json())


def _when_approved(source: Source, caller: SessionCaller, waiting: SessionView) -> Opened:
    """Wait until people have answered, then come for what they approved.

    Raises:
        Refused: code `session_ended`; they said no, or nobody answered in time.
    """
    path = f"/v1/sessions/{waiting.id}"
    while waiting.state == "requested":
        pause(_ASK_AGAIN_S)
        waiting = read_session(caller.ask("GET", path).json())
    if waiting.leaving:
        raise Refused("session_ended", f"the session was not approved: `{waiting.reason}`")
    return read_opened(caller.ask("POST", f"{path}/activate", {"evidence": dict(source.gather())}).json())


def end_quietly(live: LiveSession) -> SojournError | None:
    """Complete, and hand back what went wrong rather than raise it: the end comes anyway."""
    try:
        live.complete()
    except SojournError as error:
        return error
    return None
