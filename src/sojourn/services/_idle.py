"""Whether a session has been of no use for as long as its charter allows."""

from __future__ import annotations

from datetime import datetime

from sojourn.core.session import Session
from sojourn.core.usage import account_of
from sojourn.ports.store import Store


async def is_idle(store: Store, session: Session, now: datetime) -> bool:
    """Whether no guard reported a use for `session.idle`, counted from its window's beginning at first."""
    if session.idle is None or now - session.window.opens < session.idle:
        return False
    usage = await store.usage(session.id, account_of(session), now)
    return usage.used_at is None or now - usage.used_at >= session.idle
