"""When rules change, living sessions are held to them: narrowed, suspended or ended.

A later version of a charter, a policy set or a calendar cannot give a session anything. What
it no longer allows is taken away, and the reason is recorded. Nothing is remembered between
two passes but what was last seen, so a crash only means one more pass.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sojourn.core.charter import Charter, OnClose, may_open
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound, Refused, SojournError, Unavailable
from sojourn.core.ids import SessionId
from sojourn.core.scope import AudienceGrant, Grant, TargetGrant
from sojourn.core.session import Session, State
from sojourn.core.target import Target
from sojourn.ports.clock import Clock
from sojourn.ports.store import Rules, SessionFilter, Store
from sojourn.services._questions import ATTESTED
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.end_session import EndSession
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.narrow_session import NarrowSession
from sojourn.services.policy_book import PolicyBook
from sojourn.services.suspend_session import SuspendSession

log = logging.getLogger(__name__)

SOURCE: Final = "rules"
CALENDARS_EVERY_S: Final = 30.0
"""How late a change of a calendar reaches sessions that live already."""

_BATCH: Final = 500
_AFTER_FAILURE_S: Final = 5.0
_LIVING: Final = frozenset({State.REQUESTED, State.APPROVED, State.ACTIVE, State.SUSPENDED})


class ReevaluateSessions:
    """Holds every living session to the rules in force now."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        book: PolicyBook,
        windows: ChangeWindows,
        keep: KeepAllowed,
        narrow: NarrowSession,
        end: EndSession,
        suspend: SuspendSession,
    ) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._windows = windows
        self._keep = keep
        self._narrow = narrow
        self._end = end
        self._suspend = suspend
        self._seen: Rules | None = None
        self._calendars_at: float | None = None
        self._not_before = 0.0  # monotonic: after a failure the next pass waits

    async def run_once(self) -> int:
        """How many sessions were narrowed, suspended or ended.

        Raises:
            Unavailable: the store could not answer; nothing counts as seen.
        """
        now = self._clock.monotonic()
        if now < self._not_before:
            return 0
        rules = await self._store.rules()
        changed = rules != self._seen
        if changed:
            await self._book.current()
        due = self._calendars_at is None or now - self._calendars_at >= CALENDARS_EVERY_S
        if not changed and not due:
            return 0
        charters = await self._store.charters()
        newest: dict[str, Charter] = {}
        for charter in sorted(charters, key=lambda one: one.number):
            newest[charter.name] = charter
        opened = {charter.label: charter for charter in charters}
        if not changed and not any(charter.window for charter in newest.values()):
            return 0
        moved, failed = await self._pass(newest, opened, only_windows=not changed)
        if failed:
            self._not_before = now + _AFTER_FAILURE_S
        else:
            self._seen, self._calendars_at = rules, now
        return moved

    async def _pass(
        self, newest: Mapping[str, Charter], opened: Mapping[str, Charter], *, only_windows: bool
    ) -> tuple[int, int]:
        moved = failed = 0
        after: SessionId | None = None
        targets = {target.name: target for target in await self._store.targets()}
        while True:
            page = await self._store.sessions(SessionFilter(states=_LIVING), after=after, limit=_BATCH)
            for session in page:
                charter = newest.get(session.task.kind)
                if charter is None or (only_windows and charter.window is None):
                    continue
                try:
                    now_and_then = _Offers(charter, opened.get(session.charter, charter), targets)
                    moved += await self._judge(session, now_and_then)
                except SojournError as error:
                    failed += 1
                    log.warning("session %s was not held to the rules yet: %s", session.id, error.code)
            if len(page) < _BATCH:
                return moved, failed
            after = page[-1].id

    async def _judge(self, session: Session, offers: _Offers) -> int:
        now, charter = self._clock.now(), offers.now
        if not may_open(charter, session.client_name, observed(session)):
            return await self._over(session, f"charter {charter.label} names the client no more")
        verdict = await self._keep.verdict(session)
        if not verdict.allowed:
            if session.state is State.SUSPENDED and verdict.suspends:
                return 0
            await self._keep.act(session, verdict)
            return 1
        shut = await self._shut(session, charter, now)
        if shut is not None:
            return shut
        return await self._shrink(session, offers, now=now)

    async def _shut(self, session: Session, charter: Charter, now: datetime) -> int | None:
        """What a change window that is closed now does; None if it is open, or cannot be read."""
        try:
            bound = await self._windows(charter.window, now)
        except Unavailable:
            return None  # nothing new is opened; what lives has its end already
        except Refused as error:
            if charter.window is None or charter.window.on_close is OnClose.END:
                return await self._over(session, error.message, Reason.WINDOW_CLOSED)
            if session.state is not State.ACTIVE:
                return 0
            await self._suspend(session.id, Cause(Reason.WINDOW_CLOSED, SOURCE, error.message[:500]))
            return 1
        if bound is None or bound.on_close is OnClose.SUSPEND or session.window.closes <= bound.closes:
            return None
        await self._narrow(session.id, closes=bound.closes)
        return 1

    async def _shrink(self, session: Session, offers: _Offers, *, now: datetime) -> int:
        charter = offers.now
        closes = session.window.opens + charter.longest
        if closes <= now:
            return await self._over(session, f"charter {charter.label} allows {charter.longest} at most")
        drop = {grant.name for grant in session.grants.each() if not offers.still(grant)}
        actions = self._refused_actions(session, offers.named, drop, now=now)
        if drop >= session.grants.names() and drop:
            return await self._over(session, f"charter {charter.label} offers none of its grants")
        shorter = closes if closes < session.window.closes else None
        if not (drop or actions or shorter):
            return 0
        if session.state is State.REQUESTED:  # what was shown to its approvers is not what would be given
            return await self._over(session, f"charter {charter.label} allows less than was asked for")
        await self._narrow(session.id, tuple(sorted(drop)), tuple(sorted(actions)), shorter)
        return 1

    def _refused_actions(
        self, session: Session, offered: Mapping[str, Grant], drop: set[str], *, now: datetime
    ) -> set[str]:
        """Single actions that the charter or a policy no longer allows.

        Actions are dropped by name wherever they are held, so this may take more than was
        refused: never less.
        """
        refused: set[str] = set()
        usable = self._book.usable(session, now)
        for grant in session.grants.audiences:
            if grant.name in drop:
                continue
            now_offered = offered[grant.name]
            kept = set(now_offered.actions) if isinstance(now_offered, AudienceGrant) else set()
            refused |= set(grant.actions) - kept
            refused |= set(grant.actions) - set(usable.actions_at(grant.audience))
        return refused

    async def _over(self, session: Session, detail: str, reason: Reason = Reason.POLICY_CHANGED) -> int:
        try:
            await self._end(session.id, Cause(reason, SOURCE, detail[:500]))
        except NotFound:
            return 0
        return 1


def observed(session: Session) -> dict[str, str]:
    """The facts of its context that were observed, not said."""
    return {name: value for name, value in session.context.items() if ATTESTED in name}


class _Offers:
    """What a session's charter offers now, and what it offered when the session was opened."""

    def __init__(self, now: Charter, then: Charter, targets: Mapping[str, Target]) -> None:
        self.now = now
        self.named = {grant.name: grant for grant in now.grants.each()}
        self._then = {grant.name: grant for grant in then.grants.each()}
        self._targets = targets

    def still(self, held: Grant) -> bool:
        """Whether a grant may be kept: it is offered as it is held, or as it was offered then."""
        offered, before = self.named.get(held.name), self._then.get(held.name)
        if isinstance(held, AudienceGrant):
            return isinstance(offered, AudienceGrant) and offered.audience == held.audience
        if not isinstance(offered, TargetGrant) or offered.target != held.target:
            return False
        # A session may hold less than the template that it was opened with.
        templates = {held.template, before.template if isinstance(before, TargetGrant) else held.template}
        target = self._targets.get(held.target)
        known = target is not None and target.revocation_class <= (offered.at_least or "D")
        return known and offered.template in templates
