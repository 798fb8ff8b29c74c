"""Wake those who wait for the feed; numbers were given in the commit, this only rings."""

from __future__ import annotations

from sojourn.ports.feed import Bell
from sojourn.ports.store import Store


class AnnounceRevocations:
    """Follows the head and rings the bell when the feed has grown."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._rung = -1

    async def run_once(self) -> int:
        """How many entries are new since the last look."""
        n = (await self._store.head()).feed_n
        new = n - self._rung
        if new > 0:
            self._bell.ring(n)
            self._rung = n
        return max(new, 0)
