"""Go on to the next phase of the charter: what it does not name is dropped, then it is entered.

Removal comes first and by itself: a crash in between leaves a session with less, never with
more, and asking again finishes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sojourn.core.change import Change
from sojourn.core.charter import Charter, Phase
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import Session, enter_phase
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again

Narrow = Callable[[SessionId, tuple[str, ...]], Awaitable[Session]]


class EnterPhase:
    """Moves a session forward through its charter's phases; `narrow` drops grants by name."""

    def __init__(self, store: Store, clock: Clock, narrow: Narrow) -> None:
        self._store = store
        self._clock = clock
        self._narrow = narrow

    async def __call__(self, session_id: SessionId, name: str) -> Session:
        """The session in phase `name`, with what that phase names; being there already changes nothing.

        Raises:
            NotFound: code `unknown_session`.
            Invalid: code `unknown_phase`.
            Refused: code `would_widen`; the phase lies behind.
            Conflict: code `wrong_state`.
        """
        session = await self._session(session_id)
        phase = _next(await self._charter(session), session, name)
        drop = tuple(sorted(session.grants.names() - set(phase.grants)))
        if drop:
            session = await self._narrow(session_id, drop)
        return await decide_again(lambda: self._enter(session_id, phase), self._clock)

    async def _enter(self, session_id: SessionId, phase: Phase) -> Session:
        session = await self._session(session_id)
        _next(await self._charter(session), session, phase.name)  # another call may have gone further
        step = enter_phase(session, phase.name, self._clock.now())
        if step.facts:
            await self._store.commit(Change(steps=(step,)))
        return step.row

    async def _session(self, session_id: SessionId) -> Session:
        session = await self._store.session(session_id)
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        return session

    async def _charter(self, session: Session) -> Charter:
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{session.charter}`")
        return charter


def _next(charter: Charter, session: Session, name: str) -> Phase:
    names = [phase.name for phase in charter.phases]
    if name not in names:
        raise Invalid("unknown_phase", f"charter `{charter.label}` has no phase `{name}`")
    if session.phase in names and names.index(name) < names.index(session.phase):
        raise Refused("would_widen", f"phase `{name}` lies behind `{session.phase}`; phases only go forward")
    return charter.phases[names.index(name)]
