"""Ending a session with only the database: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.adapters.opened_store import open_sqlite
from sojourn.cli.main import dispatch

KILL = ("session", "kill", "ses_" + "0" * 26, "--offline", "--state")


@pytest.mark.anyio
async def test_a_store_that_a_server_holds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "deployment").write_text("abcd")
    store = await open_sqlite(tmp_path / "sojourn.sqlite3")

    held = await asyncio.to_thread(dispatch, [*KILL, str(tmp_path)])
    await store.close()
    freed = await asyncio.to_thread(dispatch, [*KILL, str(tmp_path)])

    told = capsys.readouterr().err
    assert (held, freed) == (11, 12)
    assert "store_locked" in told and "unknown_session" in told
