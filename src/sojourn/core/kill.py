"""The kill switch by selector: one numbered order that ends every session it covers.

    ordered ──> finished

The order is recorded with one feed entry, so that guards refuse before anything is counted;
the sessions are ended afterwards, batch by batch. A session remembers the feed number that was
read before it was asked for (`mark_n`) and its tokens carry it: an order numbered later covers
the session, an earlier one does not. No clock decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sojourn.core.ending import Cause
from sojourn.core.errors import Conflict
from sojourn.core.ids import KillId
from sojourn.core.record import FactKind, RowKind, Step, born, moved, unchanged
from sojourn.core.session import Session


class Selects(StrEnum):
    """By what an order picks sessions."""

    CLIENT = "client"  # the id of a client
    OWNER = "owner"
    CHARTER = "charter"  # `name`, or one version: `name@number`
    TASK = "task"  # `kind:ref`
    TARGET = "target"  # the name of a target in which a session has a grant
    KEY = "key"  # the thumbprint of the workload's key
    FAMILY = "family"  # the id of the root session
    EVERYTHING = "everything"


class KillState(StrEnum):
    """Whether the order has been carried out."""

    ORDERED = "ordered"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which sessions: those of one client, owner, charter, … `id` is what they carry."""

    kind: Selects
    id: str

    def picks(self, session: Session) -> bool:
        """Whether `session` is of this kind, whenever it was opened."""
        match self.kind:
            case Selects.CLIENT:
                return session.client == self.id
            case Selects.OWNER:
                return session.owner == self.id
            case Selects.CHARTER:
                return self.id in (session.charter, session.charter.partition("@")[0])
            case Selects.TASK:
                return self.id == f"{session.task.kind}:{session.task.ref}"
            case Selects.TARGET:
                return any(grant.target == self.id for grant in session.grants.targets)
            case Selects.KEY:
                return session.key == self.id
            case Selects.FAMILY:
                return self.id in (session.id, *session.ancestors)
            case Selects.EVERYTHING:
                return True


@dataclass(frozen=True, slots=True)
class Kill:
    """One order. `n` is its feed number, unknown between two commits."""

    id: KillId
    version: int
    state: KillState
    selector: Selector
    cause: Cause
    ordered_at: datetime
    n: int | None = None
    ended: int = 0  # how many sessions it ended; descendants come on top
    finished_at: datetime | None = None

    def covers(self, session: Session) -> bool:
        """Whether `session` is to end: picked, and asked for before the order was numbered."""
        return (self.n is None or session.mark_n < self.n) and self.selector.picks(session)


def order(kill: Kill) -> Step[Kill]:
    """Say who is to end; guards refuse from the same commit on."""
    return born(FactKind.KILL_ORDERED, RowKind.KILL, kill, kill.ordered_at)


def number(kill: Kill, n: int, now: datetime) -> Step[Kill]:
    """The place of the order in the feed became known."""
    if kill.n is not None:
        return unchanged(kill)
    return moved(FactKind.KILL_NUMBERED, RowKind.KILL, kill, now, n=n)


def finish(kill: Kill, ended: int, now: datetime) -> Step[Kill]:
    """No session that it covers is left.

    Raises:
        Conflict: code `wrong_state`; it has no number yet, or is finished.
    """
    if kill.n is None or kill.state is KillState.FINISHED:
        raise Conflict("wrong_state", "only a numbered order that goes on is finished")
    change = {"state": KillState.FINISHED, "ended": ended, "finished_at": now}
    return moved(FactKind.KILL_FINISHED, RowKind.KILL, kill, now, **change)
