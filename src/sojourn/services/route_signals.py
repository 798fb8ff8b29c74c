"""A signal from outside reaches the sessions it concerns, through the one door out.

It is remembered first, so that a session opened while it is routed finds it, and one that a crash
kept it from finds it at its next beat; repeating it changes nothing. Only sessions whose charter
names the kind of trigger are ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from sojourn.core.change import Change, Once
from sojourn.core.ending import Cause
from sojourn.core.errors import NotFound, Refused
from sojourn.core.secret import Secret
from sojourn.core.session import Session
from sojourn.core.trigger import Trigger, identifies, mark_of, matches
from sojourn.ports.clock import Clock
from sojourn.ports.keys import Sealer
from sojourn.ports.store import SessionFilter, Store
from sojourn.ports.trigger import Delivery, PushTrigger, Signal
from sojourn.services._picking import STAYING, paged
from sojourn.services._reported_over import OVER
from sojourn.services.end_session import EndSession

REMEMBER: Final = timedelta(hours=24)
"""No session lives longer, and no evidence of a job is taken after it."""


def secret_name(trigger: Trigger) -> str:
    """Under which name the secret of a trigger is sealed."""
    return f"trigger:{trigger.id}"


class RouteSignals:
    """Takes deliveries, and ends what they say is over."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        end: EndSession,
        *,
        sealer: Sealer,
        kinds: Mapping[str, PushTrigger],
    ) -> None:
        self._store = store
        self._clock = clock
        self._end = end
        self._sealer = sealer
        self._kinds = kinds

    async def deliver(self, name: str, delivery: Delivery) -> int:
        """How many sessions a delivery to the trigger `name` ended.

        Raises:
            NotFound: code `unknown_trigger`; also for one that is removed, or is not pushed to.
            Unauthenticated: code `bad_signature`.
            Invalid: code `bad_delivery`.
        """
        trigger = await self._store.trigger_named(name)
        kind = self._kinds.get(trigger.kind) if trigger else None
        if trigger is None or kind is None:
            raise NotFound("unknown_trigger", "there is no such trigger")
        return await self.route(trigger, kind.parse(delivery, await self.secret_of(trigger)))

    async def secret_of(self, trigger: Trigger) -> Secret:
        """The secret that is sealed for a trigger.

        Raises:
            NotFound: code `unknown_trigger`.
        """
        sealed = await self._store.sealed(secret_name(trigger))
        if sealed is None:
            raise NotFound("unknown_trigger", "the trigger has no secret")
        return Secret(self._sealer.unseal(secret_name(trigger), sealed).decode())

    async def route(self, trigger: Trigger, signals: Sequence[Signal]) -> int:
        """How many sessions `signals`, which came together, ended."""
        if not signals:
            return 0
        source = f"trigger:{trigger.name}"
        await self._remember(signals, f"{trigger.kind} {source}")
        ended = 0
        for signal in signals:
            cause = Cause(signal.reason, source, signal.detail)
            ended += await self._end_all(signal.match, trigger.kind, cause)
        return ended

    async def _end_all(self, match: Mapping[str, str], kind: str, cause: Cause) -> int:
        ended, allowed = 0, {}
        async for page in paged(self._store, _having(match)):
            for session in page:
                if not matches(match, session.context):
                    continue
                if session.charter not in allowed:
                    allowed[session.charter] = kind in await self._ends_on(session)
                if allowed[session.charter]:
                    await self._end(session.id, cause)
                    ended += 1
        return ended

    async def _remember(self, signals: Sequence[Signal], by: str) -> None:
        """In one commit what is new: a crash between two signals would forget the second."""
        now = self._clock.now()
        known = {key: await self._store.mark(OVER, key, now) for key in {mark_of(s.match) for s in signals}}
        new = [Once(OVER, key, now + REMEMBER, by) for key, value in known.items() if value is None]
        if not new:
            return
        try:
            await self._store.commit(Change(once=tuple(new)))
        except Refused:  # somebody else is told one of them at this moment
            for mark in new:
                with suppress(Refused):
                    await self._store.commit(Change(once=(mark,)))

    async def _ends_on(self, session: Session) -> tuple[str, ...]:
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        return charter.ends_on if charter else ()


def _having(match: Mapping[str, str]) -> SessionFilter:
    if identifies(match):
        return SessionFilter(states=STAYING, identity=mark_of(match))
    return SessionFilter(states=STAYING, facts=frozenset(match.items()))
