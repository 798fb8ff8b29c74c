"""Re-attest, then thaw a suspended session under a new generation and with new secrets.

As at activation the intent is committed before it is sent: the session is active and its
leases thawed, under a new fence, before any target hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change, Once, Pin, pin
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, NotFound, Refused, SojournError
from sojourn.core.family import parent_of, require_fit
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, LeaseState, thaw
from sojourn.core.record import RowKind
from sojourn.core.session import LEAVING, Session, is_live, resume
from sojourn.core.target import Target
from sojourn.ports.attestor import Evidence
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.provider import Intent, Issued, Provider, Providers, Ref
from sojourn.ports.store import Store
from sojourn.services._kept import KeptSecrets
from sojourn.services._reconciling import require_reconciled
from sojourn.services._reported_over import require_at_work
from sojourn.services._retry import decide_again
from sojourn.services._sending import RecordOutcomes, Sending
from sojourn.services.activate_session import Activation, credentials, see_through
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.end_session import EndSession
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.mint_tokens import MintTokens
from sojourn.services.reattest_session import Again, ReattestSession

_GOING = frozenset({LeaseState.DESTROYING, LeaseState.DESTROYED})


class ResumeSession:
    """Thaws a session for the holder of its key, who must prove again who it is."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        *,
        reattest: ReattestSession,
        providers: Providers,
        tokens: MintTokens,
        end: EndSession,
        settings: Settings,
        kept: KeptSecrets,
        keep: KeepAllowed | None = None,
        windows: ChangeWindows | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._reattest = reattest
        self._providers = providers
        self._tokens = tokens
        self._end = end
        self._settings = settings
        self._kept = kept
        self._record = RecordOutcomes(store, clock, entropy, kept)
        self._keep = keep
        self._windows = windows

    async def __call__(
        self, session_id: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...] = ()
    ) -> Activation:
        """The session, active again; a failure after the commit ends it.

        Raises:
            NotFound: code `unknown_session`; also for another key.
            Unauthenticated: the evidence does not hold, or is another attestor's or client's.
            Conflict: code `still_freezing` or `wrong_state`.
            Refused: codes `session_waits`, `context_changed`, `job_finished`, `window_closed`,
                `outside_window`, `policy_refused`, `policy_error`, `session_ended`, `replayed`.
            TargetError: a target did not thaw; the session is ended.
        """
        again = await self._recognise(session_id, key, evidence)
        marks = (*again.once, *once)
        targets = await self._targets(await self._store.leases(session_id))
        session, sending = await decide_again(lambda: self._commit(session_id, marks), self._clock)
        try:
            await self._thaw(sending, targets)
            await self._record(sending)
            return await self._answer(session, sending, targets)
        except SojournError as error:
            if not isinstance(error, Conflict):
                await self._give_up(session, sending, error.code)
            raise
        except asyncio.CancelledError:
            await see_through(self._give_up(session, sending, "cancelled"))
            raise

    async def _recognise(self, session_id: SessionId, key: str, evidence: Evidence) -> Again:
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if session.state in LEAVING:
            raise Refused("session_ended", "the session has ended")
        if await self._store.is_restored(session_id):
            raise Refused("session_waits", "since a restore an operator is to look at this session first")
        await require_at_work(self._store, session, self._clock, self._end)
        again = await self._reattest(session, evidence, by="resume")
        if again.drifted:
            raise Refused("context_changed", f"{again.drifted}: it stays suspended until that is as it was")
        return again

    async def _targets(self, leases: Sequence[Lease]) -> dict[str, tuple[Target, Provider]]:
        found: dict[str, tuple[Target, Provider]] = {}
        for lease in (lease for lease in leases if lease.state not in _GOING):
            target = await self._store.target(lease.target)
            if target is None:
                raise NotFound("unknown_target", f"there is no target `{lease.target_name}`")
            await require_reconciled(self._store, target)
            found[lease.target_name] = (target, await self._providers.of(target))
        return found

    async def _commit(self, session_id: SessionId, marks: tuple[Once, ...]) -> tuple[Session, Sending]:
        session = await self._store.session(session_id)
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if session.state in LEAVING:
            raise Refused("session_ended", "the session has ended")
        if self._keep is not None:
            await self._keep(session)
        asked_at = self._clock.now()
        pauses_at = await self._windows.pause_of(session, asked_at) if self._windows else session.pauses_at
        now = self._clock.now()  # rules and calendars take their time, and none of that to thaw
        step = resume(session, now, pauses_at)
        leases = [lease for lease in await self._store.leases(session_id) if lease.state not in _GOING]
        if warm := [lease.grant for lease in leases if lease.state is not LeaseState.FROZEN]:
            raise Conflict("still_freezing", f"grant `{warm[0]}` is not frozen yet; try again")
        await self._expect_beats(session, now)
        fence = now + self._settings.issue_fence
        thawed = [thaw(lease, fence, now) for lease in leases]
        pins = await self._hold_parent(session, now)
        await self._store.commit(Change(steps=(step, *thawed), pins=pins, once=marks))
        return step.row, Sending([moved.row for moved in thawed])

    async def _hold_parent(self, session: Session, now: datetime) -> tuple[Pin, ...]:
        """A child thaws only under a parent that lives, and that still does when it lands."""
        elder = parent_of(session)
        parent = None if elder is None else await self._store.session(elder)
        if parent is None:
            return ()
        require_fit(parent, now)
        return (pin(RowKind.SESSION, parent),)

    async def _expect_beats(self, session: Session, now: datetime) -> None:
        grace = now + self._settings.issue_fence + session.beat.missed_after
        await self._store.note_beats([(session.id, now, grace)])

    async def _thaw(self, sending: Sending, targets: dict[str, tuple[Target, Provider]]) -> None:
        async def send(lease: Lease) -> Issued:
            target, provider = targets[lease.target_name]
            template = target.templates[lease.template]
            intent = Intent(lease.handle, template, lease.issue_by, lease.expires_at)
            ref = Ref(lease.handle, lease.target_ref, lease.expires_at, kept=await self._kept.of(lease))
            return await provider.thaw(ref, intent)

        await sending.run(send, self._clock, timeout_s=2 * self._settings.issue_fence.total_seconds())
        if sending.failures:
            raise sending.failures[0]

    async def _answer(
        self, resumed: Session, sending: Sending, targets: dict[str, tuple[Target, Provider]]
    ) -> Activation:
        """Answer for the session as it is now: it may have been narrowed, suspended or ended."""
        mark = (await self._store.head()).mark  # before the session: see `MintTokens`
        session = await self._store.session(resumed.id)
        if session is None or session.state in LEAVING:
            raise Refused("session_ended", "the session was ended while it was thawed")
        now = self._clock.now()
        if not is_live(session, now):
            raise Conflict("wrong_state", f"the session is `{session.state}` again")
        await self._store.note_beats([(session.id, now, now + session.beat.missed_after)])
        held = {grant.name for grant in session.grants.targets}
        shown = tuple(c for c in credentials(sending, targets) if c.grant in held)
        return Activation(session, self._tokens(session, mark), shown, mark)

    async def _give_up(self, session: Session, sending: Sending, detail: str) -> None:
        await self._record(sending)
        await self._end(session.id, Cause(Reason.ACTIVATION_FAILED, "resume", detail))
