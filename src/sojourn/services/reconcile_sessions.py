"""After a restore: which sessions may have ended in the time that was lost, and the word to go on.

An end that was lost cannot be found anywhere: only an operator knows what was killed. Until
one has looked, a session that came back with the database gets no token of the new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sojourn.core.ids import SessionId
from sojourn.ports.store import Store

log = logging.getLogger(__name__)


class ReconcileSessions:
    """Lists the sessions that wait since a restore, and lets them go on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, *, limit: int) -> Sequence[SessionId]:
        """The first `limit` of them that have not ended, in the order of their ids."""
        return await self._store.restored(limit=limit)

    async def apply(self, *, by: str) -> None:
        """Let every one go on: from here on its beats bring tokens.

        Raises:
            Unavailable: code `fenced`; there was another restore meanwhile.
        """
        await self._store.sessions_reconciled()
        log.warning("sessions of before the restore go on, at the word of `%s`", by)
