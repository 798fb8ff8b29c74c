"""What operators keep, in the memory store: charters, policies, targets, hooks, reviews that are owed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sojourn.core.charter import Charter
from sojourn.core.hook import Hook, HookPlace
from sojourn.core.ids import HookId, SessionId, TargetId
from sojourn.core.policy import PolicySet
from sojourn.core.record import Row, RowKind
from sojourn.core.review import Review
from sojourn.core.target import Target, TargetState
from sojourn.ports.store import Rules


class MemoryKept:
    """Reads over the rows of whoever holds them."""

    def _all(self, kind: RowKind) -> list[Row]:
        raise NotImplementedError

    async def charter(self, name: str, number: int | None = None) -> Charter | None:
        found = [one for one in await self.charters() if one.name == name and number in (None, one.number)]
        return max(found, key=lambda one: one.number, default=None)

    async def charters(self) -> Sequence[Charter]:
        await asyncio.sleep(0)
        return cast("list[Charter]", self._all(RowKind.CHARTER))

    async def policy(self, number: int | None = None) -> PolicySet | None:
        await asyncio.sleep(0)
        found = cast("list[PolicySet]", self._all(RowKind.POLICY))
        return max((o for o in found if number in (None, o.number)), key=lambda o: o.number, default=None)

    async def review(self, session: SessionId) -> Review | None:
        await asyncio.sleep(0)
        found = cast("list[Review]", self._all(RowKind.REVIEW))
        return next((one for one in found if one.session == session), None)

    async def reviews(self, *, owed: bool, limit: int) -> Sequence[Review]:
        await asyncio.sleep(0)
        found = cast("list[Review]", self._all(RowKind.REVIEW))
        return [one for one in found if not owed or one.done_at is None][:limit]

    async def rules(self) -> Rules:
        newest = await self.policy()
        return Rules(newest.number if newest else 0, len(self._all(RowKind.CHARTER)))

    async def target_named(self, name: str) -> Target | None:
        targets = await self.targets()
        return next(
            (one for one in targets if one.name == name and one.state is not TargetState.REMOVED), None
        )

    async def target(self, target: TargetId) -> Target | None:
        return next((one for one in await self.targets() if one.id == target), None)

    async def targets(self) -> Sequence[Target]:
        await asyncio.sleep(0)
        return cast("list[Target]", self._all(RowKind.TARGET))

    async def hooks(self) -> Sequence[Hook]:
        await asyncio.sleep(0)
        return [one for one in cast("list[Hook]", self._all(RowKind.HOOK)) if one.removed_at is None]


class MemoryPlaces:
    """How far hooks have come, and who holds them until when."""

    def __init__(self) -> None:
        self._places: dict[HookId, HookPlace] = {}
        self._held: dict[HookId, tuple[str, datetime]] = {}

    async def hook_place(self, hook: HookId) -> HookPlace | None:
        await asyncio.sleep(0)
        return self._places.get(hook)

    async def hold_hook(self, hook: Hook, holder: str, now: datetime, until: datetime) -> HookPlace | None:
        await asyncio.sleep(0)
        place = self._places.setdefault(hook.id, HookPlace(hook.since))
        by, end = self._held.get(hook.id, (holder, now))
        if (by != holder and end > now) or (place.run_at is not None and place.run_at > now):
            return None
        self._held[hook.id] = (holder, until)
        return place

    async def move_hook(self, hook: HookId, holder: str, to: HookPlace) -> bool:
        await asyncio.sleep(0)
        if self._held.get(hook, ("", None))[0] != holder:
            return False
        del self._held[hook]
        self._places[hook] = to
        return True
