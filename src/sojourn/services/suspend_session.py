"""Freeze a session: its tokens die at once, its logins are shut and its connections cut."""

from __future__ import annotations

from sojourn.config import Settings
from sojourn.core.change import Change, ErrandKind
from sojourn.core.ending import Cause
from sojourn.core.errors import NotFound
from sojourn.core.ids import SessionId
from sojourn.core.lease import LeaseState
from sojourn.core.session import Session, State, suspend
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._errands import new_errand, revoke
from sojourn.services._retry import decide_until_it_lands


class SuspendSession:
    """Freezes an active session; deadlines run on, and only re-attestation thaws it."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def __call__(self, session_id: SessionId, cause: Cause) -> Session:
        """The session, suspended; asking twice changes nothing.

        Raises:
            NotFound: code `unknown_session`.
            Conflict: code `wrong_state`; only an active session is suspended.
        """
        return await decide_until_it_lands(lambda: self._attempt(session_id, cause), self._clock)

    async def _attempt(self, session_id: SessionId, cause: Cause) -> Session:
        session = await self._store.session(session_id)
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if session.state is State.SUSPENDED:
            return session
        now = self._clock.now()
        step = suspend(session, cause, now)
        living = [lease for lease in await self._store.leases(session_id) if lease.state is LeaseState.ISSUED]
        errands = tuple(new_errand(ErrandKind.FREEZE, lease, self._entropy, now) for lease in living)
        refusal = revoke(step.row, step.row.generation, self._settings, now)
        await self._store.commit(Change(steps=(step,), errands=errands, revocations=(refusal,)))
        return step.row
