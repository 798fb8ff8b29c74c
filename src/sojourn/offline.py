"""Ends a session with nothing but the database: for when the server hangs or is down.

It calls no target. What the end queues is taken up by the next server that starts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.config import Settings
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import SESSION, SessionId, to_uuid
from sojourn.core.session import Session
from sojourn.faces.http.serving_file import Serving, deployment_id, dev_serving, read_serving
from sojourn.running import open_store
from sojourn.services.end_session import EndSession

_ANY_PORT = 8787


def kill(session: str, detail: str, *, state: Path, config: Path | None) -> Session:
    """End `session` on record, in the store of `state`, or in that of the file `config`.

    Raises:
        Unavailable: code `store_locked`; a server holds the store: stop it by its pid first.
        NotFound: code `no_store` or `unknown_session`.
    """
    to_uuid(SESSION, session)
    serving = dev_serving(state, _ANY_PORT) if config is None else read_serving(config)
    if not (serving.state / "deployment").is_file():
        raise NotFound("no_store", f"no server ever kept its state in `{serving.state}`")
    return asyncio.run(_kill(SessionId(session), detail, serving))


async def _kill(session: SessionId, detail: str, serving: Serving) -> Session:
    settings = Settings(serving.issuer, deployment_id(serving.state))
    store = await open_store(serving)
    try:
        end = EndSession(store, SystemClock(), SystemEntropy(), settings)
        return await end(session, Cause(Reason.KILLED, "offline", detail))
    finally:
        await store.close()
