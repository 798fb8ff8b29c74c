"""A person looks at what was done in an emergency: owed from the opening, done once.

A row of its own, not of the session: a session says nothing more after its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sojourn.core.errors import Conflict
from sojourn.core.ids import OwnerId, ReviewId, SessionId
from sojourn.core.record import FactKind, RowKind, Step, born, moved
from sojourn.core.session import LEAVING, Session


@dataclass(frozen=True, slots=True)
class Review:
    """The review of one break-glass session."""

    id: ReviewId
    version: int
    session: SessionId
    charter: str
    owner: OwnerId
    owed_since: datetime
    done_by: str | None = None
    done_at: datetime | None = None
    note: str = ""


def owe(review: Review) -> Step[Review]:
    """A break-glass session was opened: a person must look at it afterwards."""
    return born(FactKind.REVIEW_OWED, RowKind.REVIEW, review, review.owed_since)


def review(owed: Review, session: Session, by: str, note: str, *, now: datetime) -> Step[Review]:
    """A person has looked, and says what was found.

    Raises:
        Conflict: code `already_reviewed`, or `wrong_state` while the session goes on.
    """
    if owed.done_at is not None:
        raise Conflict("already_reviewed", f"session `{owed.session}` was reviewed by `{owed.done_by}`")
    if session.state not in LEAVING:
        raise Conflict("wrong_state", f"a session that is `{session.state}` is reviewed after its end")
    return moved(FactKind.REVIEW_DONE, RowKind.REVIEW, owed, now, done_by=by, done_at=now, note=note)
