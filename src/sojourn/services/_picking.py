"""The sessions that a selector picks, read page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from sojourn.core.ids import ClientId, SessionId
from sojourn.core.kill import Selector, Selects
from sojourn.core.session import Session, State
from sojourn.ports.store import SessionFilter, Store

STAYING: Final = frozenset({State.REQUESTED, State.APPROVED, State.ACTIVE, State.SUSPENDED})
PAGE: Final = 2000
"""Sessions in one read: all that a client has are sorted for each page, so few pages are cheaper."""


async def picked(store: Store, selector: Selector) -> AsyncIterator[list[Session]]:
    """Every session that stays and is picked, page by page, in the order of their ids."""
    async for page in paged(store, _narrowed(selector)):
        yield [session for session in page if selector.picks(session)]


async def paged(store: Store, which: SessionFilter) -> AsyncIterator[Sequence[Session]]:
    """Every session that fits, page by page, in the order of their ids."""
    after: SessionId | None = None
    while page := await store.sessions(which, after=after, limit=PAGE):
        after = page[-1].id
        yield page


def _narrowed(selector: Selector) -> SessionFilter:
    match selector.kind:
        case Selects.CLIENT:
            return SessionFilter(client=ClientId(selector.id), states=STAYING)
        case Selects.OWNER:
            return SessionFilter(owner=selector.id, states=STAYING)
        case Selects.TASK:
            return SessionFilter(task_ref=selector.id.partition(":")[2], states=STAYING)
        case _:
            return SessionFilter(states=STAYING)
