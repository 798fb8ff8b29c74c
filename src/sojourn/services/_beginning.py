"""How a session begins for which nothing is made downstream: there is no effect to record before it."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.core.change import Beat
from sojourn.core.record import Step
from sojourn.core.session import Session, activate
from sojourn.ports.clock import Clock
from sojourn.services._status_places import StatusPlaces

Fits = Callable[[Session], object]
"""Refuses a session that would be of no use to its caller, before it is there."""


async def begin(
    approved: Step[Session], clock: Clock, places: StatusPlaces | None
) -> tuple[Step[Session], tuple[Beat, ...]]:
    """The step that leads on to active, and the beat owed from then on; as it is where something is made.

    Raises:
        Refused: code `window_closed`.
        Unavailable: the store could not answer.
    """
    session = approved.row
    if session.grants.targets:
        return approved, ()
    place = await places.take() if places else None
    now = clock.now()
    heard = Beat(session.id, now, now + session.beat.missed_after)
    return approved.then(activate(session, now, status=place)), (heard,)
