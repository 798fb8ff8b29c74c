"""Ends that were reported: before the session was there, or by news that nobody lived to act upon."""

from __future__ import annotations

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused
from sojourn.core.session import Session
from sojourn.core.trigger import identities, mark_of
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.end_session import EndSession

OVER = "reported_over"


async def require_at_work(store: Store, session: Session, clock: Clock, end: EndSession) -> None:
    """End a session whose job somebody reported over whom its charter hears.

    Raises:
        Refused: code `session_ended`.
    """
    source = await _reported_by(store, session, clock)
    if source is not None:
        await end(session.id, Cause(Reason.JOB_FINISHED, source))
        raise Refused("session_ended", f"the job was reported over by `{source}`; the session has ended")


async def _reported_by(store: Store, session: Session, clock: Clock) -> str | None:
    name, _, number = session.charter.rpartition("@")
    charter = await store.charter(name, int(number))
    if charter is None or not charter.ends_on:  # it hears nobody: nothing need be read
        return None
    for match in identities(session.context):
        found = await store.mark(OVER, mark_of(match), clock.now())
        if found is not None:
            kind, _, source = found.partition(" ")
            if kind in charter.ends_on:
                return source
    return None
