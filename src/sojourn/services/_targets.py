"""Find a target by its name, or say that there is none."""

from __future__ import annotations

from sojourn.core.errors import NotFound
from sojourn.core.target import Target
from sojourn.ports.store import Store


async def target_called(store: Store, name: str) -> Target:
    """The target of that name that was not removed.

    Raises:
        NotFound: code `unknown_target`.
    """
    target = await store.target_named(name)
    if target is None:
        raise NotFound("unknown_target", f"there is no target `{name[:64]}`")
    return target
