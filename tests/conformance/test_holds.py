"""An errand that a dead process held is free again as soon as the store is opened alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from sojourn.adapters.opened_store import open_sqlite
from sojourn.core.change import Change, Errand, ErrandKind
from sojourn.core.ids import ERRAND, LEASE, TARGET, ErrandId, LeaseId, TargetId, from_uuid
from sojourn.core.session import request
from tests.rig.store import START, a_session


@pytest.mark.anyio
async def test_what_a_dead_process_held_is_claimed_at_once(tmp_path: Path) -> None:

    opened = request(a_session())
    errand = Errand(
        ErrandId(from_uuid(ERRAND, UUID(int=1))),
        ErrandKind.DESTROY,
        LeaseId(from_uuid(LEASE, UUID(int=2))),
        opened.row.id,
        TargetId(from_uuid(TARGET, UUID(int=3))),
        START,
    )
    first = await open_sqlite(tmp_path / "store")
    await first.commit(Change(steps=(opened,), errands=(errand,)))
    held = await first.claim("dead", START, hold=timedelta(hours=1), limit=9)
    await first.close()

    second = await open_sqlite(tmp_path / "store")
    taken = await second.claim("alive", START, hold=timedelta(hours=1), limit=9)
    await second.close()

    assert [one.id for one in held] == [errand.id]
    assert [one.id for one in taken] == [errand.id]
