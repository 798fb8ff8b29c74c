"""Whether an order numbered after a session was asked for covers it.

An order that landed before the session did cannot have seen it; whoever goes on with the
session looks here, after it is on record.
"""

from __future__ import annotations

from sojourn.core.kill import Kill
from sojourn.core.session import Session
from sojourn.ports.store import KillFilter, Store


async def killed_by(store: Store, session: Session) -> Kill | None:
    """The first order that covers `session`, or None."""
    orders = await store.kills(KillFilter(after_n=session.mark_n))
    return next((kill for kill in orders if kill.covers(session)), None)
