"""Shrink a running session: fewer grants, fewer actions, an earlier end.

What is dropped is taken away like at an end; tokens of the earlier generation die in the
same commit. What a descendant holds beyond what is left goes in that commit too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core import scope
from sojourn.core.change import Change, ErrandKind
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.family import share
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, begin_destroy
from sojourn.core.record import Step
from sojourn.core.session import LEAVING, Session, narrow
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
        family = await self._store.family(session_id)
        if not family:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        session, now = family[0], self._clock.now()
        left = scope.narrow(session.grants, drop, drop_actions)
        step = narrow(session, left, _window(session, closes, now), now)
        if not step.facts:
            return session
        narrowed = [step, *_descend(step.row, family[1:], now)]
        await self._store.commit(await self._gather(narrowed, now))
        return step.row

    async def _gather(self, narrowed: list[Step[Session]], now: datetime) -> Change:
        """What narrowing these sessions writes: what goes, and the refusal of earlier tokens."""
        gone: list[Step[Lease]] = []
        for step in narrowed:
            kept = {grant.name for grant in step.row.grants.targets}
            leases = [lease for lease in await self._store.leases(step.row.id) if lease.grant not in kept]
            gone += [moved for lease in leases if (moved := begin_destroy(lease, now)).facts]
        return Change(
            steps=(*narrowed, *gone),
            errands=tuple(new_errand(ErrandKind.DESTROY, moved.row, self._entropy, now) for moved in gone),
            revocations=tuple(revoke(s.row, s.row.generation, self._settings, now) for s in narrowed),
        )


def _descend(root: Session, descendants: Sequence[Session], now: datetime) -> list[Step[Session]]:
    """The descendants of `root` that lose something with it; parents come before their children."""
    after = {root.id: root}
    steps = []
    for child in descendants:
        parent = after.get(child.ancestors[-1])
        if parent is None or child.state in LEAVING:
            continue  # nothing above it has moved
        shared = share(child, parent)
        step = narrow(child, shared.grants, shared.window, now)
        if step.facts:
            after[child.id] = step.row
            steps.append(step)
    return steps


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
