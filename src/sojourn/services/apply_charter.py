"""Put a version of a charter in force; what was in force before stays on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sojourn.core.change import Change
from sojourn.core.charter import Charter, apply
from sojourn.core.ids import CHARTER, CharterId, from_uuid
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._charter_document import read_charter
from sojourn.services._retry import decide_again


class ApplyCharter:
    """Makes the next version of a charter, unless nothing changed."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def __call__(self, document: Mapping[str, object], *, by: str) -> tuple[Charter, bool]:
        """The version in force, and whether this call made it.

        Raises:
            Invalid: code `bad_charter`.
        """
        return await decide_again(lambda: self._attempt(document, by), self._clock)

    async def _attempt(self, document: Mapping[str, object], by: str) -> tuple[Charter, bool]:
        made = CharterId(from_uuid(CHARTER, self._entropy.uuid7()))
        asked = read_charter(document, made, number=1, by=by, now=self._clock.now())
        newest = await self._store.charter(asked.name)
        if newest is not None:
            asked = replace(asked, number=newest.number + 1)
            if _same(asked, newest):
                return newest, False
        # Two calls at once want the same number; the store keeps name and number unique.
        await self._store.commit(Change(steps=(apply(asked),)))
        return asked, True


def _same(asked: Charter, newest: Charter) -> bool:
    told = {
        "id": newest.id,
        "number": newest.number,
        "applied_at": newest.applied_at,
        "applied_by": newest.applied_by,
    }
    return replace(asked, **told) == newest  # type: ignore[arg-type]
