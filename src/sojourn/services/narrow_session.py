"""Shrink a running session: fewer grants, fewer actions, an earlier end.

What is dropped is taken away like at an end; tokens of the earlier generation die in the
same commit.
"""

from __future__ import annotations

from datetime import datetime

from sojourn.config import Settings
from sojourn.core import scope
from sojourn.core.change import Change, ErrandKind
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.lease import begin_destroy
from sojourn.core.session import Session, narrow
from sojourn.core.window import Window, show
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._errands import new_errand, revoke
from sojourn.services._retry import decide_again


class NarrowSession:
    """Removes grants, actions or time from a session; it never adds."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def __call__(
        self,
        session_id: SessionId,
        drop: tuple[str, ...] = (),
        drop_actions: tuple[str, ...] = (),
        closes: datetime | None = None,
    ) -> Session:
        """The session with what is left of it.

        Raises:
            NotFound: code `unknown_session`.
            Invalid: codes `unknown_grant`, `unknown_action`, `closes_in_past`.
            Refused: code `would_widen`.
            Conflict: code `wrong_state`, or `stale` after many lost races.
        """
        return await decide_again(lambda: self._attempt(session_id, drop, drop_actions, closes), self._clock)

    async def _attempt(
        self,
        session_id: SessionId,
        drop: tuple[str, ...],
        drop_actions: tuple[str, ...],
        closes: datetime | None,
    ) -> Session:
        session = await self._store.session(session_id)
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        now = self._clock.now()
        left = scope.narrow(session.grants, drop, drop_actions)
        step = narrow(session, left, _window(session, closes, now), now)
        if not step.facts:
            return session
        kept = {grant.name for grant in left.targets}
        leases = [lease for lease in await self._store.leases(session_id) if lease.grant not in kept]
        gone = [moved for lease in leases if (moved := begin_destroy(lease, now)).facts]
        errands = tuple(new_errand(ErrandKind.DESTROY, moved.row, self._entropy, now) for moved in gone)
        refusal = revoke(step.row, step.row.generation, self._settings, now)
        await self._store.commit(Change(steps=(step, *gone), errands=errands, revocations=(refusal,)))
        return step.row


def _window(session: Session, closes: datetime | None, now: datetime) -> Window:
    if closes is None:
        return session.window
    if closes <= now:
        raise Invalid("closes_in_past", f"`{show(closes)}` has passed; end the session instead")
    if closes > session.window.closes:
        raise Refused(
            "would_widen", f"the session ends at `{show(session.window.closes)}`; narrowing only shortens"
        )
    return Window(session.window.opens, closes)
