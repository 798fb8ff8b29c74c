"""A heartbeat: the holder of the session's key shows that it lives, and gets fresh tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sojourn.core.change import Change, pin
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, NotFound, Refused, Unauthenticated
from sojourn.core.family import parent_of
from sojourn.core.ids import SessionId
from sojourn.core.record import RowKind
from sojourn.core.session import LEAVING, Session, State, is_live, reason_of, renew
from sojourn.ports.attestor import Evidence
from sojourn.ports.clock import Clock
from sojourn.ports.store import Mark, Store
from sojourn.services._idle import is_idle
from sojourn.services._reported_over import require_at_work
from sojourn.services._retry import decide_again
from sojourn.services.beat_book import BeatBook
from sojourn.services.end_session import EndSession
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.mint_tokens import MintTokens, Token
from sojourn.services.reattest_session import ReattestSession


@dataclass(frozen=True, slots=True)
class Beat:
    """The session as the beat found or left it, and the tokens to go on with."""

    session: Session
    tokens: tuple[Token, ...]


class BeatSession:
    """Takes a beat, looks at who sends it, and renews the window when asked to."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        mint: MintTokens,
        beats: BeatBook,
        *,
        reattest: ReattestSession,
        keep: KeepAllowed | None = None,
        end: EndSession,
    ) -> None:
        self._keep = keep
        self._store = store
        self._clock = clock
        self._mint = mint
        self._beats = beats
        self._reattest = reattest
        self._end = end

    async def __call__(
        self, session_id: SessionId, key: str, *, renew: bool = False, evidence: Evidence | None = None
    ) -> Beat:
        """Note that the session lives; one that is suspended, or waits since a restore, gets none.

        Raises:
            NotFound: code `unknown_session`; also for another key.
            Refused: code `session_ended`, `context_changed`, `job_finished`, `no_renewal_left`,
                `policy_refused` or `policy_error`.
            Unauthenticated: the evidence does not hold; code `evidence_expected`, there is none.
            Unavailable: who could judge the evidence cannot be asked; this was no beat.
            Conflict: code `wrong_state`; the session is not active yet.
        """
        if evidence is not None:
            await self._look_again(session_id, key, evidence)
        attested = evidence is not None
        return await decide_again(
            lambda: self._attempt(session_id, key, renew, attested=attested), self._clock
        )

    async def _look_again(self, session_id: SessionId, key: str, evidence: Evidence) -> None:
        session = await self._held(session_id, key)
        if session.state is State.ACTIVE:
            again = await self._reattest(session, evidence, by="beat")
            if again.once:
                await self._store.commit(Change(once=again.once))

    async def _held(self, session_id: SessionId, key: str) -> Session:
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        _require_staying(session, self._clock.now())
        return session

    async def _attempt(self, session_id: SessionId, key: str, wants_renewal: bool, *, attested: bool) -> Beat:
        # The mark is read before the session: see `MintTokens`.
        mark = (await self._store.head()).mark
        session, now = await self._held(session_id, key), self._clock.now()
        if session.state is State.SUSPENDED:
            return Beat(session, ())
        if not is_live(session, now):
            raise Conflict("wrong_state", f"expected an active session, it is `{session.state}`")
        if session.beat.evidence == "fresh" and not attested:
            raise Unauthenticated("evidence_expected", f"expected fresh evidence `{session.attestor}`")
        if await self._store.is_restored(session.id):  # it may have ended in the time that was lost
            await self._beats.note(session, now)
            return Beat(session, ())
        await require_at_work(self._store, session, self._clock, self._end)
        if self._keep is not None:
            await self._keep(session, renew=wants_renewal)
        if await is_idle(self._store, session, now):
            await self._end(session.id, Cause(Reason.IDLE, "beat"))
            raise Refused("session_ended", "the session has ended: `idle`")
        if wants_renewal:
            session, mark = await self._renewed(session, now)
        await self._beats.note(session, now)
        return Beat(session, self._mint(session, mark))

    async def _renewed(self, session: Session, now: datetime) -> tuple[Session, Mark]:
        parent = await self._parent(session)
        step = renew(session, now, within=parent.window if parent else None)
        pins = (pin(RowKind.SESSION, parent),) if parent else ()
        head = await self._store.commit(Change(steps=(step,), pins=pins))
        return step.row, head.mark

    async def _parent(self, session: Session) -> Session | None:
        """The parent, which the renewal of a child must not outlive."""
        elder = parent_of(session)
        return None if elder is None else await self._store.session(elder)


def _require_staying(session: Session, now: datetime) -> None:
    if session.state in LEAVING:
        raise Refused("session_ended", f"the session has ended: `{reason_of(session)}`")
    if now >= session.window.closes:
        raise Refused("session_ended", "the session has ended: `window_closed`")
