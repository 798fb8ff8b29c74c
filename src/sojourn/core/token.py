"""The claims of an access token: a session, on its way to one audience (RFC 9068).

We revoke sessions, not tokens: `sid`, `gen`, `anc` and `mark` let a guard judge the session
behind the token without asking anybody. Signing and verifying are elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.binding import from_cnf, to_cnf
from sojourn.core.errors import Invalid, Refused
from sojourn.core.session import Session, acts_until
from sojourn.core.window import from_micros, to_micros

TYPE: Final = "at+jwt"
MOST_ANCESTORS: Final = 8
MOST_ACTORS: Final = 5  # ancestors told in `act`: JSON nested deeper is refused as hostile; `anc` has all


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified access token says."""

    issuer: str
    subject: str
    audience: str
    token_id: str
    issued_at: datetime
    expires_at: datetime
    key: str  # cnf: what it is bound to (`core.binding`)
    scope: frozenset[str]
    sid: str
    generation: int
    ancestors: tuple[str, ...]
    epoch: int
    mark: int
    task: str
    owner: str
    charter: str
    signer: str = ""  # the `kid` of the key that signed it, once verified; no claim

    status: tuple[str, int] | None = None  # address of the status list, and the entry in it
    may_act: str | None = None  # the binding of the only child that it may be exchanged for

    @property
    def family(self) -> str:
        """The session that the whole family descends from."""
        return self.ancestors[0] if self.ancestors else self.sid


def describe(
    session: Session,
    audience: str,
    *,
    issuer: str,
    token_id: str,
    life: timedelta,
    epoch: int,
    mark: int,
    now: datetime,
    only: frozenset[str] | None = None,
    may_act: str | None = None,
) -> AccessClaims:
    """The claims of a token for `session` at `audience`; its life ends within the window.

    `only` leaves out every other action; nothing is added by it.
    """
    held = frozenset(session.grants.actions_at(audience))
    return AccessClaims(
        issuer=issuer,
        subject=session.client,
        audience=audience,
        token_id=token_id,
        issued_at=now,
        expires_at=min(now + life, acts_until(session)),
        key=session.key,
        scope=held if only is None else held & only,
        sid=session.id,
        generation=session.generation,
        ancestors=tuple(session.ancestors),
        epoch=epoch,
        mark=mark,
        task=f"{session.task.kind}:{session.task.ref}",
        owner=session.owner,
        charter=session.charter,
        status=_status(session, issuer),
        may_act=may_act,
    )


def _status(session: Session, issuer: str) -> tuple[str, int] | None:
    if session.status_list is None or session.status_index is None:
        return None
    return status_address(issuer, session.status_list), session.status_index


def status_address(issuer: str, name: str) -> str:
    """Where the status list of that name is served."""
    return f"{issuer.rstrip('/')}/oauth2/status/{name}"


def choose_audience(session: Session, wanted: str | None) -> str:
    """The audience `wanted`, or the only one that the session reaches.

    Raises:
        Invalid: code `invalid_target`.
    """
    reached = sorted({grant.audience for grant in session.grants.audiences})
    if wanted is None and len(reached) == 1:
        return reached[0]
    if wanted is None or wanted not in reached:
        listed = ", ".join(f"`{one}`" for one in reached) or "none"
        raise Invalid(
            "invalid_target", f"name one audience of the session as `resource`; it reaches {listed}"
        )
    return wanted


def to_json(claims: AccessClaims) -> dict[str, object]:
    """The JWT payload; `exp` is floored to whole seconds, so it never outlives the window."""
    return {
        "iss": claims.issuer,
        "sub": claims.subject,
        "client_id": claims.subject,
        "aud": claims.audience,
        "exp": _seconds(claims.expires_at),
        "iat": _seconds(claims.issued_at),
        "jti": claims.token_id,
        "cnf": to_cnf(claims.key),
        "scope": " ".join(sorted(claims.scope)),
        "sid": claims.sid,
        "gen": claims.generation,
        "anc": list(claims.ancestors),
        "fam": claims.family,
        "mark": {"epoch": claims.epoch, "n": claims.mark},
        "task": claims.task,
        "owner": claims.owner,
        "charter": claims.charter,
        **({"act": _actors(claims)} if claims.ancestors else {}),
        **({"status": _pointer(*claims.status)} if claims.status else {}),
        **({"may_act": {"sub": claims.may_act}} if claims.may_act else {}),
    }


def _actors(claims: AccessClaims) -> Mapping[str, object]:
    """Who acts: the child itself and, inside it as history, its nearest ancestors (RFC 8693, 4.1)."""
    eldest, *younger = (*claims.ancestors[-MOST_ACTORS:], claims.sid)
    actor: Mapping[str, object] = {"sub": eldest}
    for session in younger:
        actor = {"sub": session, "act": actor}
    return actor


def _pointer(address: str, index: int) -> Mapping[str, object]:
    return {"status_list": {"idx": index, "uri": address}}


def from_json(payload: Mapping[str, object]) -> AccessClaims:
    """Read a payload whose signature was verified; every claim must be there and of its type.

    Raises:
        Refused: code `bad_token`, naming the claim.
    """
    key, mark = from_cnf(payload.get("cnf")), _object(payload, "mark")
    if key is None:
        raise Refused("bad_token", "claim `cnf` is missing or binds to nothing we know")
    ancestors = payload.get("anc")
    if not isinstance(ancestors, list) or len(ancestors) > MOST_ANCESTORS:
        raise Refused("bad_token", "claim `anc` is missing or too long")
    claims = AccessClaims(
        issuer=_text(payload, "iss"),
        subject=_text(payload, "sub"),
        audience=_text(payload, "aud"),
        token_id=_text(payload, "jti"),
        issued_at=_instant(payload, "iat"),
        expires_at=_instant(payload, "exp"),
        key=key,
        scope=frozenset(_text(payload, "scope").split()),
        sid=_text(payload, "sid"),
        generation=_whole(payload, "gen"),
        ancestors=tuple(_text({"anc": item}, "anc") for item in ancestors),
        epoch=_whole(mark, "epoch"),
        mark=_whole(mark, "n"),
        task=_text(payload, "task"),
        owner=_text(payload, "owner"),
        charter=_text(payload, "charter"),
        status=_read_status(payload),
        may_act=_read_may_act(payload),
    )
    if payload.get("fam", claims.family) != claims.family:
        raise Refused("bad_token", "claim `fam` is not the first ancestor")
    return claims


def _read_status(payload: Mapping[str, object]) -> tuple[str, int] | None:
    if "status" not in payload:
        return None
    pointer = _object(_object(payload, "status"), "status_list")
    return _text(pointer, "uri"), _whole(pointer, "idx")


def _read_may_act(payload: Mapping[str, object]) -> str | None:
    """Who may become an actor (RFC 8693, section 4.4): what we do not understand permits nobody."""
    if "may_act" not in payload:
        return None
    named = _object(payload, "may_act")
    if named.keys() != {"sub"}:
        raise Refused("bad_token", "claim `may_act` names its actor by more than `sub`")
    return _text(named, "sub")


def _seconds(instant: datetime) -> int:
    return to_micros(instant) // 1_000_000


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise Refused("bad_token", f"claim `{name}` is missing or not a string")
    return value


def _whole(payload: Mapping[str, object], name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Refused("bad_token", f"claim `{name}` is missing or not a whole number")
    return value


def _instant(payload: Mapping[str, object], name: str) -> datetime:
    seconds = _whole(payload, name)
    if seconds > 253_402_300_799:  # the last second of the year 9999
        raise Refused("bad_token", f"claim `{name}` is no instant")
    return from_micros(seconds * 1_000_000)


def _object(payload: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = payload.get(name)
    if not isinstance(value, dict):
        raise Refused("bad_token", f"claim `{name}` is missing or not an object")
    return value
