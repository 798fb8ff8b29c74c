"""The one door out: completion, kill switch, deadline, drift and signal all pass here.

One commit records the cause, closes the whole family, revokes its tokens and queues the
destruction of every credential. Nothing outside the store is touched, so a crash loses
nothing and a repeat changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, ErrandKind, Pin, Revocation, pin
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, LeaseState, begin_destroy
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.session import LEAVING, Session, State, begin_end, finish_end
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._errands import new_errand, revoke
from sojourn.services._retry import decide_until_it_lands


class EndSession:
    """Ends a session and all its descendants, once, for the first cause given."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def __call__(self, session_id: SessionId, cause: Cause) -> Session:
        """The session as it is once its end is on record; decided again until it lands.

        Raises:
            NotFound: code `unknown_session`.
            Unavailable: the store could not answer; the end may or may not have landed.
        """
        return await decide_until_it_lands(lambda: self._attempt(session_id, cause), self._clock)

    async def _attempt(self, root: SessionId, cause: Cause) -> Session:
        family = await self._store.family(root)
        if not family:
            raise NotFound("unknown_session", f"there is no session `{root}`")
        now = self._clock.now()
        endings = []
        for session in family:  # root first: no new child can join below it
            if session.state in LEAVING:
                continue  # for a cause of its own, which is kept
            own = cause if session.id == root else Cause(Reason.PARENT_ENDED, root)
            leases = await self._store.leases(session.id)
            endings.append(Ending(session, own, leases, now))
        if not endings:
            return family[0]
        await self._store.commit(self._gather(endings, now))
        return endings[0].step.row if endings[0].step.row.id == root else family[0]

    def _gather(self, endings: list[Ending], now: datetime) -> Change:
        return gather(endings, self._entropy, self._settings, now=now)


def gather(endings: Sequence[Ending], entropy: Entropy, settings: Settings, *, now: datetime) -> Change:
    """Everything that these ends write, as one Change."""
    steps: list[Step[Row]] = []
    pins: list[Pin] = []
    errands: list[Errand] = []
    revocations: list[Revocation] = []
    for ending in endings:
        steps += [ending.step, *ending.destroying]
        pins += ending.pins
        errands += [new_errand(ErrandKind.DESTROY, step.row, entropy, now) for step in ending.destroying]
        if ending.had_tokens:
            revocations.append(revoke(ending.step.row, None, settings, now))
    return Change(
        steps=tuple(steps),
        pins=tuple(pins),
        errands=tuple(errands),
        revocations=tuple(revocations),
        ending=True,
    )


class Ending:
    """What the end of one session writes."""

    def __init__(self, session: Session, cause: Cause, known: Sequence[Lease], now: datetime) -> None:
        self.had_tokens = session.state is not State.REQUESTED
        self.step = begin_end(session, cause, now)
        self.destroying = [step for lease in known if (step := begin_destroy(lease, now)).facts]
        # INVARIANT: a lease that is already on its way out is pinned. If it is destroyed
        # meanwhile we read again: two decisions that each saw the other's session or lease
        # as unfinished would leave a session that nobody finishes.
        moved = {step.row.id for step in self.destroying}
        self.pins = [pin(RowKind.LEASE, lease) for lease in known if lease.id not in moved]
        alive = any(lease.state is not LeaseState.DESTROYED for lease in known)
        if self.step.row.state is State.REVOKING and not alive:
            self.step = self.step.then(finish_end(self.step.row, now))
