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
    approved: Session, clock: Clock, places: StatusPlaces | None
) -> tuple[Step[Session], tuple[Beat, ...]]:
    """The session, active, and the beat that it owes from now on: for one commit.

    Raises:
        Refused: code `window_closed`.
        Unavailable: the store could not answer.
    """
    place = await places.take() if places else None
    now = clock.now()
    heard = Beat(approved.id, now, now + approved.beat.missed_after)
    return activate(approved, now, status=place), (heard,)
