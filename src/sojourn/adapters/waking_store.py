"""A store that tells this process's worker when a commit left it something to do.

A wake-up is a hint. It is given even when the answer of a commit was lost, because the
commit may have landed; what another node commits is found by looking again in time.
"""

from __future__ import annotations

import asyncio
from typing import cast

from sojourn.core.change import Change
from sojourn.core.kill import Kill
from sojourn.ports.store import Head, Store


class Wake:
    """What the worker's loops wait for."""

    def __init__(self) -> None:
        self.errands = asyncio.Event()
        self.feed = asyncio.Event()
        self.journal = asyncio.Event()
        self.kills = asyncio.Event()

    def after(self, change: Change) -> None:
        """Set what `change` concerns."""
        if change.errands:
            self.errands.set()
        if change.revocations:
            self.feed.set()
        if any(step.facts for step in change.steps):
            self.journal.set()
        if any(isinstance(step.row, Kill) and step.facts for step in change.steps):
            self.kills.set()


class _WakingStore:
    def __init__(self, store: Store, wake: Wake) -> None:
        self._store = store
        self._wake = wake

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, change: Change) -> Head:
        try:
            return await self._store.commit(change)
        finally:
            self._wake.after(change)


def waking(store: Store, wake: Wake) -> Store:
    """`store`, whose commits set the events of `wake`."""
    return cast("Store", _WakingStore(store, wake))
