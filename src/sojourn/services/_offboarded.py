"""Whether the owner of a charter has left since it was applied."""

from __future__ import annotations

from sojourn.core.charter import Charter
from sojourn.core.ending import Reason
from sojourn.core.errors import Refused
from sojourn.core.kill import Selector, Selects
from sojourn.ports.store import KillFilter, Store


async def require_owner(store: Store, charter: Charter) -> None:
    """Refuse a charter that nobody answers for any more; a version applied later has an owner again.

    Raises:
        Refused: code `owner_left`.
    """
    orders = await store.kills(KillFilter(selector=Selector(Selects.OWNER, charter.owner)))
    if any(one.cause.reason is Reason.OWNER_LEFT and one.ordered_at >= charter.applied_at for one in orders):
        raise Refused("owner_left", f"the owner of charter `{charter.label}` has left; apply it anew")
