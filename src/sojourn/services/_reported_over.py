"""Ends that were reported: before the session was there, or by news that nobody lived to act upon."""

from __future__ import annotations

from sojourn.core.session import Session
from sojourn.core.trigger import identities, mark_of
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store

OVER = "reported_over"


async def reported_over(store: Store, session: Session, clock: Clock) -> str | None:
    """Who reported the job of `session` over, if somebody did whom its charter hears."""
    for match in identities(session.context):
        found = await store.mark(OVER, mark_of(match), clock.now())
        if found is not None:
            kind, _, source = found.partition(" ")
            name, _, number = session.charter.rpartition("@")
            charter = await store.charter(name, int(number))
            if charter is not None and kind in charter.ends_on:
                return source
    return None
