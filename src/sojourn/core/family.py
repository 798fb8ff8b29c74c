"""Parent and child: what a session may pass on, and what becomes of a child when its parent changes.

A child holds a subset of what its parent holds now, for no longer, under a key of its own.
Whatever shrinks, freezes or ends the parent reaches every descendant in the same commit, so a
child that is `active` has only active ancestors: that is what makes its own row enough to ask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sojourn.core import scope
from sojourn.core.charter import ChildRule
from sojourn.core.ending import Reason
from sojourn.core.errors import Conflict, Invalid, Refused
from sojourn.core.ids import SessionId
from sojourn.core.record import FactKind, RowKind, Step, noted
from sojourn.core.scope import Grants
from sojourn.core.session import LEAVING, Session, State, is_live
from sojourn.core.token import MOST_ANCESTORS
from sojourn.core.window import Window


@dataclass(frozen=True, slots=True)
class ChildWish:
    """What a parent asks for its child; no grant named means all that the parent holds."""

    grants: Collection[str] = ()
    drop_actions: Collection[str] = ()
    duration: timedelta | None = None  # None: as long as the parent


@dataclass(frozen=True, slots=True)
class Portion:
    """What of the parent's access the child is born with."""

    grants: Grants
    window: Window


def root_of(session: Session) -> SessionId:
    """The session that the whole family descends from; a session without a parent is its own."""
    return session.ancestors[0] if session.ancestors else session.id


def parent_of(session: Session) -> SessionId | None:
    """The session that opened it, if one did."""
    return session.ancestors[-1] if session.ancestors else None


def living_children(parent: Session, family: Iterable[Session]) -> int:
    """How many direct children of `parent` are not leaving."""
    return sum(1 for one in family if parent_of(one) == parent.id and one.state not in LEAVING)


def require_fit(parent: Session, now: datetime) -> None:
    """Refuse a parent that may pass nothing on.

    Raises:
        Refused: code `session_ended`.
        Conflict: code `wrong_state`; only an active session has children.
    """
    if parent.state in LEAVING or now >= parent.window.closes:
        reason = parent.cause.reason if parent.cause else Reason.WINDOW_CLOSED
        raise Refused("session_ended", f"the session has ended: `{reason}`")
    if not is_live(parent, now):
        raise Conflict("wrong_state", f"expected an active session, it is `{parent.state}`")


def portion(parent: Session, rule: ChildRule, wish: ChildWish, *, living: int, now: datetime) -> Portion:
    """What the child of `parent` gets, of which `living` are there already.

    Raises:
        Refused: code `session_ended`, `too_deep` or `too_many_children`.
        Conflict: code `wrong_state`.
        Invalid: code `unknown_grant`, `unknown_action` or `too_long`.
    """
    require_fit(parent, now)
    depth = len(parent.ancestors) + 1
    if depth > min(rule.depth, MOST_ANCESTORS):
        raise Refused(
            "too_deep", f"charter `{parent.charter}` allows children {rule.depth} deep, not {depth}"
        )
    if living >= rule.fan_out:
        raise Refused(
            "too_many_children", f"charter `{parent.charter}` allows {rule.fan_out} living children at a time"
        )
    held = {grant.name: grant for grant in parent.grants.each()}
    grants = scope.choose(held, wish.grants or held)
    if wish.drop_actions:
        grants = scope.narrow(grants, (), wish.drop_actions)
    closes = parent.window.closes if wish.duration is None else now + wish.duration
    if not now < closes <= parent.window.closes:
        left = parent.window.closes - now
        raise Invalid("too_long", f"a child may last {left} at most, asked for {wish.duration}")
    return Portion(grants, Window(now, closes))


def child_opened(parent: Session, child: SessionId, now: datetime) -> Step[Session]:
    """The parent has one more child.

    It changes no member, but raises the version: an end, a suspension or a narrowing decided
    before the child was there lands no more, and is decided again with the child in sight.
    """
    return noted(FactKind.SESSION_CHILD_OPENED, RowKind.SESSION, parent, now, {}, {"child": child})


def share(child: Session, parent: Session) -> Portion:
    """What is left of the child's access once its parent is as given."""
    closes = min(child.window.closes, parent.window.closes)
    return Portion(scope.meet(child.grants, parent.grants), Window(child.window.opens, closes))


def freezes(child: Session) -> bool:
    """Whether a suspended parent suspends it; one that is not active yet is ended instead."""
    return child.state is State.ACTIVE
