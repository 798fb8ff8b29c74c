"""What stands between a process and the world: it shuts when the process dies.

A request that was on the wire may land all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sojourn.core.change import Change
from sojourn.core.errors import Unavailable
from sojourn.ports.provider import Ref
from sojourn.ports.store import Head
from sojourn.testing.fakes import FakeTarget

if TYPE_CHECKING:
    from tests.sim.world import Node, World


class Crashed(BaseException):
    """The process is dead: nothing in it goes on."""


class GateStore:
    """The store as one process sees it."""

    def __init__(self, world: World, process: Node) -> None:
        self._world = world
        self._process = process

    def __getattr__(self, name: str) -> object:
        method = getattr(self._world.store, name)

        async def call(*args: object, **named: object) -> object:
            self._process.require_alive()
            answer = await method(*args, **named)
            self._process.require_alive()
            return answer

        return call

    async def commit(self, change: Change) -> Head:
        self._process.require_alive()
        chance = self._world.rng.random()
        if chance < self._world.store_fails / 2:
            raise Unavailable("store_unavailable", "no answer")
        head = await self._world.store.commit(change)
        self._process.require_alive()
        if chance < self._world.store_fails:
            raise Unavailable("store_unavailable", "the answer was lost")
        return head


class GateProvider:
    """A provider as one process sees it; what is on the wire outlives the process."""

    def __init__(self, world: World, process: Node, target: FakeTarget) -> None:
        self._world = world
        self._process = process
        self._target = target

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(*args: object, **named: object) -> object:
            self._process.require_alive()
            wire = asyncio.ensure_future(method(*args, **named))
            wire.add_done_callback(forget_error)
            outlives = self._world.rng.random() < 0.5
            answer = await (asyncio.shield(wire) if outlives else wire)
            self._process.require_alive()
            return answer

        return call

    def check_narrower(self, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        self._target.check_narrower(before, after)

    async def narrow(self, ref: Ref, after: Mapping[str, object]) -> str:
        return str(await self.__getattr__("narrow")(ref, after))


def forget_error(wire: asyncio.Future[object]) -> None:
    """Nobody asks what became of it."""
    if not wire.cancelled():
        wire.exception()
