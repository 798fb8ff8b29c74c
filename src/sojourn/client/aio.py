"""`async with sojourn.open(...)`: a session for the length of a block, in asyncio programs.

The requests themselves run in threads; every one of them has a deadline.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from sojourn.client.beat import BeatThread
from sojourn.client.evidence import workload_here
from sojourn.client.session import LiveSession, Wish, end_quietly, open_session


@asynccontextmanager
async def open(
    task: str,
    *,
    grants: Sequence[str] | None = None,
    duration: timedelta | None = None,
    profile: str | None = None,
    server: str | None = None,
    client: str | None = None,
) -> AsyncIterator[LiveSession]:
    """Open a session for `task` (`KIND` or `KIND:REF`) and complete it at the end of the block.

    With `server` and `client` (or their variables) the platform vouches for the workload, and no key
    is kept; else the profile's key does. The task that entered the block is cancelled when the
    session ends under it.

    Raises:
        SojournError: the session could not be opened.
    """
    kind, _, ref = task.partition(":")
    who = workload_here(os.environ, server=server, client=client, profile=profile)
    live = await asyncio.to_thread(open_session, who, Wish(kind, ref or "-", grants, duration))
    loop, owner = asyncio.get_running_loop(), asyncio.current_task()

    def on_end(reason: str) -> None:
        if owner is not None:
            loop.call_soon_threadsafe(owner.cancel, f"session {live.id} ended: {reason}")

    beats = BeatThread(live, on_end)
    beats.start()
    try:
        yield live
    finally:
        beats.stop()
        live.mark_over()
        await asyncio.shield(asyncio.to_thread(end_quietly, live))
