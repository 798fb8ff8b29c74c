"""Use against budget and grant: guards reserve chunks, report what they used, and sessions end.

What we forward ourselves is reserved and reported here in the same way, one call at a time. A
spent budget ends the session as soon as nothing of it can come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.charter import Budget, Charter
from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.lease import Counted, Lease
from sojourn.core.session import LEAVING, Session, is_live
from sojourn.core.usage import METRICS, Amounts, Chunk, Usage, Use, account_of, is_spent, limited
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services.end_session import EndSession

CHUNK_LIFE: Final = timedelta(seconds=30)
"""A guard reports every few seconds; what a dead one held is lost to the budget after so long."""

SOURCE: Final = "usage"
FORWARDING: Final = "forwarding"
"""Who holds the part of a budget that a forwarded request uses."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A chunk; `limited` is false where the charter has no budget and nothing need be reserved."""

    chunk: str | None
    given: Amounts
    expires_at: datetime | None
    limited: bool


@dataclass(slots=True)
class ForwardedCall:
    """A request on its way through us; what is not known to have gone well counts as failed."""

    session: Session
    action: str  # `grant METHOD`
    chunk: str | None
    left: bool = True  # false: refused here, so nothing of the budget was used
    failed: bool = True


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a session was granted, and what of it was ever used."""

    session: Session
    charter: Charter
    usage: Usage
    unused: tuple[str, ...]  # `audience action`, or a grant at a target that counts
    counted: Mapping[str, Counted]  # by targets that count, of what is gone


class WeighUsage:
    """Keeps accounts of use."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, end: EndSession) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._end = end

    async def reserve(self, session_id: SessionId, guard: Client, wanted: Amounts) -> Reserved:
        """A part of the budget for `guard`, never more than is left.

        Raises:
            NotFound: code `unknown_session`; also for a session without a grant at its audience.
            Refused: codes `session_ended`, `budget_spent`.
        """
        return await self._reserve(await self._session(session_id, guard), guard.id, wanted)

    async def begin_call(self, session: Session, action: str) -> ForwardedCall:
        """One call of the budget, for a request that is about to be forwarded.

        Raises:
            Refused: codes `session_ended`, `budget_spent`.
        """
        reserved = await self._reserve(session, FORWARDING, Amounts(calls=1))
        return ForwardedCall(session, action, reserved.chunk)

    async def end_call(self, call: ForwardedCall) -> None:
        """Report a forwarded call, or give back what was reserved for it."""
        session = call.session
        budget = (await self._charter(session)).budget
        nothing = Use(session.id, account_of(session), FORWARDING, Amounts(), call.chunk)
        if not call.left:
            if call.chunk is not None:
                await self._report(session, nothing, budget)
            return
        done = replace(nothing, actions={call.action: 1}, failed=int(call.failed))
        if not await self._report(session, replace(done, used=Amounts(calls=1)), budget):
            # An answer that took longer than the chunk lives: it stays spent, and what was done is told.
            await self._report(session, replace(done, chunk=None), budget)

    async def _reserve(self, session: Session, holder: str, wanted: Amounts) -> Reserved:
        if not is_live(session, self._clock.now()):
            raise Refused("session_ended", f"the session is `{session.state}`")
        budget = (await self._charter(session)).budget
        if not limited(budget):
            return Reserved(None, wanted, None, limited=False)
        expires = self._clock.now() + CHUNK_LIFE
        chunk = Chunk(self._entropy.token(16), account_of(session), holder, wanted, expires)
        given = await self._store.reserve_use(chunk, budget)
        lacking = [m for m in METRICS if wanted.of(m) and not given.of(m)]
        if lacking:
            if any(given.each().values()):  # useless without the metric that is gone: give it back
                await self._store.report_use(
                    Use(session.id, chunk.account, holder, Amounts(), chunk.id), self._clock.now()
                )
            await self._end_if_spent(session, budget)
            raise Refused("budget_spent", f"the budget has no {lacking[0]} left")
        return Reserved(chunk.id, given, expires, limited=True)

    async def report(
        self,
        session_id: SessionId,
        guard: Client,
        used: Amounts,
        *,
        chunk: str | None,
        actions: Mapping[str, int],
        failed: int = 0,
    ) -> bool:
        """Take note of what was used; false for a chunk that came too late, which stays spent.

        Raises:
            NotFound: code `unknown_session`.
            Invalid: code `chunk_expected`; the charter has a budget, so use needs a chunk.
        """
        session = await self._session(session_id, guard)
        budget = (await self._charter(session)).budget
        if chunk is None and limited(budget):
            raise Invalid("chunk_expected", "what is limited is reserved before it is used")
        audience = guard.audience or ""
        named = {f"{audience} {action}": count for action, count in actions.items()}
        use = Use(session.id, account_of(session), guard.id, used, chunk, named, failed)
        return await self._report(session, use, budget)

    async def _report(self, session: Session, use: Use, budget: Budget) -> bool:
        taken = await self._store.report_use(use, self._clock.now())
        if limited(budget):
            await self._end_if_spent(session, budget)
        return taken

    async def weigh(self, session: Session) -> Weighed:
        """What was granted against what was used, as guards told it and as targets counted it."""
        usage = await self._store.usage(session.id, account_of(session), self._clock.now())
        charter = await self._charter(session)
        granted = {f"{g.audience} {action}" for g in charter.grants.audiences for action in g.actions}
        counted = _counted(await self._store.leases(session.id))
        idle = {grant for grant, count in counted.items() if not count.calls}
        unused = sorted((granted - usage.actions.keys()) | idle)
        return Weighed(session, charter, usage, tuple(unused), counted)

    async def _end_if_spent(self, session: Session, budget: Budget) -> None:
        account = account_of(session)
        usage = await self._store.usage(session.id, account, self._clock.now())
        root = await self._store.session(account)
        if root is not None and root.state not in LEAVING and is_spent(budget, usage):
            await self._end(account, Cause(Reason.BUDGET_SPENT, SOURCE))

    async def _session(self, session_id: SessionId, guard: Client) -> Session:
        session = await self._store.session(session_id)
        if session is None or not _reaches(session, guard):
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        return session

    async def _charter(self, session: Session) -> Charter:
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{session.charter}`")
        return charter


def _counted(leases: Sequence[Lease]) -> Mapping[str, Counted]:
    """By grant; not of one whose target did not count each of its credentials to the end."""
    each: dict[str, list[Counted | None]] = {}
    for lease in leases:
        each.setdefault(lease.grant, []).append(lease.used)
    return {grant: total for grant, found in each.items() if (total := _total(found))}


def _total(found: Sequence[Counted | None]) -> Counted | None:
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return Counted(sum(one.calls for one in known), sum(one.rows for one in known))


def _reaches(session: Session, guard: Client) -> bool:
    return guard.audience is not None and bool(session.grants.actions_at(guard.audience))
