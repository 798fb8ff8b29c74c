"""Freeze a session: its tokens die at once, its logins are shut and its connections cut.

Its descendants freeze in the same commit, and each must prove itself again to go on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.config import Settings
from sojourn.core.change import Change, ErrandKind
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.family import freezes
from sojourn.core.ids import SessionId
from sojourn.core.lease import LeaseState
from sojourn.core.record import Step
from sojourn.core.session import Session, State, suspend
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._ending import Ending, gather
from sojourn.services._errands import new_errand, revoke
from sojourn.services._retry import decide_until_it_lands

_UNBORN: Final = frozenset({State.REQUESTED, State.APPROVED})


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
        family = await self._store.family(session_id)
        if not family:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        session, now = family[0], self._clock.now()
        if session.state is State.SUSPENDED:
            return session
        frozen = [suspend(session, cause, now)]
        inherited = Cause(Reason.SUSPENDED, session_id, "its parent was suspended")
        frozen += [suspend(child, inherited, now) for child in family[1:] if freezes(child)]
        ended = [child for child in family[1:] if child.state in _UNBORN]
        await self._store.commit(await self._gather(frozen, ended, now))
        return frozen[0].row

    async def _gather(self, frozen: list[Step[Session]], unborn: list[Session], now: datetime) -> Change:
        errands = []
        for step in frozen:
            for lease in await self._store.leases(step.row.id):
                if lease.state is LeaseState.ISSUED:
                    errands.append(new_errand(ErrandKind.FREEZE, lease, self._entropy, now))
        refusals = [revoke(step.row, step.row.generation, self._settings, now) for step in frozen]
        # What is not active yet cannot be frozen: a child whose parent is frozen before it lived, ends.
        cause = Cause(Reason.PARENT_ENDED, frozen[0].row.id, "its parent was suspended before it was active")
        endings = [Ending(one, cause, await self._store.leases(one.id), now) for one in unborn]
        ends = gather(endings, self._entropy, self._settings, now)
        return Change(
            steps=(*frozen, *ends.steps),
            pins=ends.pins,
            errands=(*errands, *ends.errands),
            revocations=(*refusals, *ends.revocations),
        )
