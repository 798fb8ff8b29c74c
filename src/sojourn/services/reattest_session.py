"""Who opened a session shows again who it is: the same attestor, the same facts, still at work.

An inner door of the beat and of resumption. What the charter pins, and what the attestor pins by
itself, is compared with what was observed at the opening; a drift ends the session, or suspends it
where the charter says so. A platform that says the work is over ends it, too. Evidence that does
not hold ends nothing: it is no beat, and silence has its own deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sojourn.core.change import Once
from sojourn.core.charter import OnDrift
from sojourn.core.context import ATTESTED, Drift, compare, tell
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused, Unauthenticated
from sojourn.core.session import Session, State
from sojourn.ports.attestor import Attestation, Attestor, Evidence
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.end_session import EndSession
from sojourn.services.suspend_session import SuspendSession


@dataclass(frozen=True, slots=True)
class Again:
    """The session after it was looked at again; `drifted` says what differs, if it was to suspend for it."""

    session: Session
    once: tuple[Once, ...]
    drifted: str = ""


class ReattestSession:
    """Compares who is here with who was there."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        attestors: Mapping[str, Attestor],
        *,
        end: EndSession,
        suspend: SuspendSession,
    ) -> None:
        self._store = store
        self._clock = clock
        self._attestors = attestors
        self._end = end
        self._suspend = suspend

    async def __call__(self, session: Session, evidence: Evidence, *, by: str) -> Again:
        """The session, and the marks that the caller commits; `by` is who is told as the source.

        Raises:
            Unauthenticated: the evidence does not hold, or is another attestor's or client's.
            Refused: code `context_changed` or `job_finished`; the session is ended.
            Unavailable: it cannot be judged now; nothing changed.
        """
        attestation = await self._attest(session, evidence, by)
        pins = await self._pins(session)
        drifts = compare(session.context, attestation.context, _held(attestation, pins))
        if not drifts:
            return Again(session, attestation.once)
        cause = Cause(Reason.CONTEXT_CHANGED, by, tell(drifts)[:500])
        if _ends(drifts, attestation, pins):
            await self._end(session.id, cause)
            raise Refused("context_changed", f"the context is not that of the opening: {cause.detail}")
        if session.state is State.ACTIVE:  # before it was active there is nothing to suspend
            session = await self._suspend(session.id, cause)
        return Again(session, attestation.once, drifted=cause.detail)

    async def _attest(self, session: Session, evidence: Evidence, by: str) -> Attestation:
        attestor = self._attestors.get(session.attestor)
        if evidence.type != session.attestor or attestor is None:
            raise Unauthenticated(
                "bad_evidence", f"expected evidence `{session.attestor}`, as at the opening"
            )
        try:
            attestation = await attestor.attest(evidence, self._clock.now())
        except Refused as error:
            if error.code == "job_finished":
                await self._end(session.id, Cause(Reason.JOB_FINISHED, by, error.message[:500]))
            raise
        if attestation.client.id != session.client:
            raise Unauthenticated("bad_evidence", "the evidence stands for another client")
        return attestation

    async def _pins(self, session: Session) -> Mapping[str, OnDrift]:
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        return {} if charter is None else {rule.fact: rule.on_drift for rule in charter.pins}


def _held(seen: Attestation, pins: Mapping[str, OnDrift]) -> frozenset[str]:
    """The facts that must be as they were; what a workload said of itself cannot be seen again."""
    named = seen.identity | seen.pinned | pins.keys()
    return frozenset(name for name in named if name.partition(".")[0] in ATTESTED)


def _ends(drifts: tuple[Drift, ...], seen: Attestation, pins: Mapping[str, OnDrift]) -> bool:
    """Whether any drift ends the session: another identity always does."""
    return any(
        drift.fact in seen.identity or pins.get(drift.fact, OnDrift.END) is OnDrift.END for drift in drifts
    )
