"""One use of a session's budget at a guard, as the middleware makes it."""

from __future__ import annotations

from typing import cast

from sojourn.core.errors import Refused
from sojourn.core.token import AccessClaims
from sojourn.guard.budget import BudgetBook
from sojourn.guard.verifier import Access


def an_access(session: str) -> Access:
    """A request that was accepted."""
    return Access(session, "cli", "demo:1", frozenset({"read"}), cast("AccessClaims", None))


async def a_book_over(book: BudgetBook, access: Access) -> bool:
    """Whether one more call passes."""
    try:
        await book.take(access, ("read",))
    except Refused:
        return False
    return True
