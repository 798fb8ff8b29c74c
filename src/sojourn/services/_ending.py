"""What the end of one session writes, and the one Change that ends many together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, ErrandKind, Pin, Revocation, pin
from sojourn.core.ending import Cause
from sojourn.core.lease import Lease, LeaseState, begin_destroy
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.session import Session, State, begin_end, finish_end
from sojourn.ports.clock import Entropy
from sojourn.services._errands import new_errand, revoke


class Ending:
    """The end of one session, decided on what was read of it."""

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


def gather(endings: Iterable[Ending], entropy: Entropy, settings: Settings, now: datetime) -> Change:
    """One Change for all of `endings`: it lands whole, before anything that ends nothing."""
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
