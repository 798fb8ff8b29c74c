"""A hook: an address that is told of facts, and by which people may answer requests.

What it is told is a closed list of kinds of facts, from the moment it was added. A person speaks
through it only after saying so with a key of their own (`link`): nobody links another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.client import Client, Role
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.ids import ApprovalId, HookId
from sojourn.core.record import FactKind, RowKind, Step, born, moved

EVENTS: Final = (
    FactKind.APPROVAL_REQUESTED,
    FactKind.APPROVAL_ANSWERED,
    FactKind.APPROVAL_GRANTED,
    FactKind.APPROVAL_DENIED,
    FactKind.APPROVAL_WITHDRAWN,
    FactKind.SESSION_SUSPENDED,
    FactKind.SESSION_ENDING,
    FactKind.SESSION_ENDED,
    FactKind.KILL_ORDERED,
    FactKind.KILL_FINISHED,
    FactKind.LEASE_STUCK,
    FactKind.REVIEW_OWED,
    FactKind.KEY_REVOKED,
)
"""What may be told outside."""

MOST_PEOPLE: Final = 500
LONGEST_URL: Final = 2048
FIRST_RETRY: Final = timedelta(seconds=1)
RETRY_CEILING: Final = timedelta(minutes=5)
GIVE_UP_AFTER: Final = timedelta(hours=24)
"""How long after a fact it is still told; a request for approval only until it expires."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One address; the secret that signs both ways is sealed and kept elsewhere."""

    id: HookId
    version: int
    name: str
    url: str
    events: tuple[str, ...]
    answers: bool  # whether answers to requests are taken from it
    since: int  # the index of the first fact that it may be told of
    added_at: datetime
    added_by: str
    people: Mapping[str, str] = field(default_factory=dict)  # as they are called there -> operator's id
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HookPlace:
    """How far a hook has come in the journal: a working row, no fact."""

    next: int  # the index of the first fact that it was not told of
    attempts: int = 0  # at telling that one
    run_at: datetime | None = None  # not before, after a failure
    given_up: int = 0  # facts that it was never told of
    error: str = ""  # of the last attempt that failed


@dataclass(frozen=True, slots=True)
class Said:
    """One person's word, as it came in a signed message."""

    approval: ApprovalId
    person: str  # as they are called there
    yes: bool
    shown_hash: str
    detail: str = ""


def add(hook: Hook) -> Step[Hook]:
    """Facts of its kinds are told at its address from now on.

    Raises:
        Invalid: code `unknown_event`. The address must have been judged before.
    """
    known = {str(one) for one in EVENTS}
    if not hook.events or (odd := sorted(set(hook.events) - known)):
        named = f"no event `{odd[0][:40]}`" if hook.events else "expected at least one event"
        raise Invalid("unknown_event", f"{named}; known: {', '.join(sorted(known))}")
    return born(FactKind.HOOK_ADDED, RowKind.HOOK, hook, hook.added_at)


def remove(hook: Hook, now: datetime) -> Step[Hook]:
    """Nothing is told there any more, and no answer is taken from it.

    Raises:
        Conflict: code `already_removed`.
    """
    if hook.removed_at is not None:
        raise Conflict("already_removed", f"hook `{hook.name}` was removed before")
    return moved(FactKind.HOOK_REMOVED, RowKind.HOOK, hook, now, removed_at=now)


def link(hook: Hook, person: str, by: Client, now: datetime) -> Step[Hook]:
    """What `person` says there counts as the word of `by`, who asked for it.

    Raises:
        Refused: code `wrong_role`.
        Invalid: codes `takes_no_answers`, `too_many_people`.
        Conflict: code `person_linked`.
    """
    if by.role is not Role.OPERATOR or by.removed_at is not None:
        raise Refused("wrong_role", "only an operator answers requests")
    if not hook.answers:
        raise Invalid("takes_no_answers", f"hook `{hook.name}` only tells; add one that takes answers")
    if person in hook.people:
        raise Conflict("person_linked", f"`{person[:80]}` is linked already; unlink it first")
    if len(hook.people) >= MOST_PEOPLE:
        raise Invalid("too_many_people", f"at most {MOST_PEOPLE} people are linked to one hook")
    people = {**hook.people, person: by.id}
    return moved(FactKind.HOOK_LINKED, RowKind.HOOK, hook, now, people=people)


def unlink(hook: Hook, person: str, now: datetime) -> Step[Hook]:
    """What `person` says there counts for nobody any more.

    Raises:
        NotFound: code `unknown_person`.
    """
    if person not in hook.people:
        raise NotFound("unknown_person", f"nobody is linked as `{person[:80]}`")
    people = {name: who for name, who in hook.people.items() if name != person}
    return moved(FactKind.HOOK_UNLINKED, RowKind.HOOK, hook, now, people=people)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after `attempts` failures in a row."""
    doublings: int = min(attempts - 1, 16)
    return min(FIRST_RETRY * (1 << doublings), RETRY_CEILING)
