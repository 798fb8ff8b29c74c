"""A disk that fails once is never written again by the same process, and the next one verifies."""

from __future__ import annotations

import pytest

from sojourn.adapters.opened_store import open_sqlite
from sojourn.core.errors import Unavailable
from tests.crash.conftest import Dig
from tests.rig.unavailable import tool


@pytest.mark.parametrize("sync", [1, 2, 4, 7])
def test_after_a_failed_sync_nothing_more_is_written(dig: Dig, sync: int) -> None:
    tool("strace", package="strace")
    grave = dig("sqlite")

    answer = grave.ask("break", sync=sync)

    outcomes = [word for word in answer["words"] if word != "gate"]
    assert "refused store_unavailable" in outcomes, answer
    first = outcomes.index("refused store_unavailable")
    assert set(outcomes[first:]) == {"refused store_unavailable"}, outcomes
    grave.judge(f"sync {sync} failed; the attempts: {outcomes}")


@pytest.mark.anyio
async def test_a_file_that_a_process_holds_opens_to_no_other(dig: Dig) -> None:
    grave = dig("sqlite")
    first = await open_sqlite(grave.place.database)

    with pytest.raises(Unavailable) as refusal:
        await open_sqlite(grave.place.database)
    with pytest.raises(AssertionError, match="store_locked|another process uses"):
        grave.ask("recover")

    await first.close()
    assert refusal.value.code == "store_locked"
