"""What the verbs for targets share: finding one by its name, and where its credential is sealed."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.core.errors import NotFound
from sojourn.core.ids import TargetId
from sojourn.core.secret import Secret
from sojourn.core.target import Target
from sojourn.ports.provider import Provider
from sojourn.ports.store import Store

MakeProvider = Callable[[Target, Secret], Provider]
"""A provider that nobody shares; it connects to nothing until it is used.

Raises `Invalid`: code `unknown_provider`, or one about the settings.
"""


def sealed_name(target: TargetId) -> str:
    """The name under which a target's admin credential is sealed."""
    return f"target:{target}"


async def target_called(store: Store, name: str) -> Target:
    """The target of that name that was not removed.

    Raises:
        NotFound: code `unknown_target`.
    """
    target = await store.target_named(name)
    if target is None:
        raise NotFound("unknown_target", f"there is no target `{name[:64]}`")
    return target
