"""Order the end of every session of a client, owner, charter, task, target, key or family.

The order is one commit: a fact, and one numbered feed entry by which guards refuse every
covered token at once, whatever the number of sessions. Ending them is the worker's errand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.config import Settings
from sojourn.core.change import Change, Revocation, RevocationKind
from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import CLIENT, KILL, ClientId, KillId, SessionId, from_uuid
from sojourn.core.kill import Kill, KillState, Selector, Selects, number, order
from sojourn.core.record import Row, Step
from sojourn.core.session import Session, State
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._picking import picked
from sojourn.services._retry import decide_until_it_lands

CONFIRM_EVERYTHING: Final = "everything"

# What tokens carry, and so what one entry refuses. A task and a target they do not carry: the
# entry then names the order itself, and only gives it its number.
_CARRIED: Final[Mapping[Selects, RevocationKind]] = {
    Selects.CLIENT: RevocationKind.CLIENT,
    Selects.OWNER: RevocationKind.OWNER,
    Selects.KEY: RevocationKind.KEY,
    Selects.FAMILY: RevocationKind.SESSION,
    Selects.EVERYTHING: RevocationKind.EVERYTHING,
}


@dataclass(frozen=True, slots=True)
class Count:
    """What a selector picks now: its resolved form, and the sessions by state."""

    selector: Selector
    sessions: Mapping[State, int]


class OrderKill:
    """Counts what a selector picks, and orders its end."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def count(self, kind: Selects, name: str) -> Count:
        """What would end; nothing is changed.

        Raises:
            NotFound: codes `unknown_client`, `unknown_session`, `unknown_charter`.
            Invalid: code `bad_selector`.
        """
        selector = await self._resolve(kind, name)
        states: Counter[State] = Counter()
        async for page in picked(self._store, selector):
            states.update(session.state for session in page)
        return Count(selector, dict(states))

    async def __call__(
        self,
        kind: Selects,
        name: str,
        *,
        by: str,
        detail: str = "",
        confirm: str | None = None,
        reason: Reason = Reason.KILLED,
        along: tuple[Step[Row], ...] = (),
    ) -> Kill:
        """The order, on record: from here on guards refuse what it covers. `along` lands with it or not.

        Raises:
            Conflict: code `stale`; a row of `along` was changed meanwhile.
            NotFound: codes `unknown_client`, `unknown_session`, `unknown_charter`.
            Invalid: codes `bad_selector`, `not_confirmed`.
            Unavailable: the store could not answer; the order may or may not have landed.
        """
        if kind is Selects.EVERYTHING and confirm != CONFIRM_EVERYTHING:
            raise Invalid("not_confirmed", f"to end everything, confirm with `{CONFIRM_EVERYTHING}`")
        selector = await self._resolve(kind, name)
        now = self._clock.now()
        kill = Kill(
            id=KillId(from_uuid(KILL, self._entropy.uuid7())),
            version=1,
            state=KillState.ORDERED,
            selector=selector,
            cause=Cause(reason, by, detail),
            ordered_at=now,
        )
        change = Change(steps=(*along, order(kill)), revocations=await self._entries(kill), ending=True)
        head = await self._store.commit(change)
        return await decide_until_it_lands(lambda: self._number(kill.id, head.feed_n), self._clock)

    async def _number(self, kill_id: KillId, n: int) -> Kill:
        kill = await self._store.kill(kill_id)
        if kill is None:
            raise NotFound("unknown_kill", f"there is no order `{kill_id}`")
        step = number(kill, n, self._clock.now())
        if step.facts:
            await self._store.commit(Change(steps=(step,), ending=True))
        return step.row

    async def _entries(self, kill: Kill) -> tuple[Revocation, ...]:
        until = kill.ordered_at + self._settings.token_life + 2 * self._settings.tolerance
        selector = kill.selector
        if selector.kind is Selects.CHARTER:
            labels = await self._versions(selector.id)
            return tuple(Revocation(RevocationKind.CHARTER, label, None, until) for label in labels)
        carried = _CARRIED.get(selector.kind)
        named = (carried, selector.id) if carried else (RevocationKind.SESSION, kill.id)
        return (Revocation(*named, None, until),)

    async def _versions(self, name: str) -> list[str]:
        charters = await self._store.charters()
        found = [one.label for one in charters if name in (one.name, one.label)]
        if not found:
            raise NotFound("unknown_charter", f"there is no charter `{name[:80]}`")
        return found

    async def _resolve(self, kind: Selects, name: str) -> Selector:
        match kind:
            case Selects.CLIENT:
                return Selector(kind, (await self._client(name)).id)
            case Selects.FAMILY:
                session = await self._session(name)
                return Selector(kind, session.ancestors[0] if session.ancestors else session.id)
            case Selects.CHARTER:
                await self._versions(name)
            case Selects.TASK if ":" not in name:
                raise Invalid("bad_selector", f"expected a task as `kind:ref`, got `{name[:40]}`")
            case Selects.EVERYTHING:
                return Selector(kind, "*")
            case _:
                pass
        return Selector(kind, name)

    async def _client(self, name: str) -> Client:
        found = await self._store.client_named(name)
        if found is None and name.startswith(f"{CLIENT}_"):
            found = await self._store.client(ClientId(name))
        if found is None:
            raise NotFound("unknown_client", f"there is no client `{name[:80]}`")
        return found

    async def _session(self, name: str) -> Session:
        session = await self._store.session(SessionId(name))
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{name}`")
        return session
