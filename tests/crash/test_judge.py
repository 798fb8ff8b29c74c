"""The judge of the crash tests is able to say no."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.crash.conftest import Dig
from tests.rig.postgres import PostgresServer


def test_the_judge_sees_access_that_nothing_tracks_and_a_row_that_no_fact_tells(
    dig: Dig, server: PostgresServer
) -> None:
    grave = dig("sqlite")
    stray = grave.place.settings.handle_prefix + "a" * 26
    grave.judge("nothing was done")

    server.sql(f"CREATE ROLE {stray}", "shop")
    with closing(sqlite3.connect(grave.place.database)) as connection:
        connection.execute("UPDATE charter SET name = 'other'")
        connection.commit()

    with pytest.raises(AssertionError) as verdict:
        grave.judge("a stray role, and a row that was written past the journal")
    said = str(verdict.value)
    assert f"'untracked': ['{stray}']" in said
    assert "'roles': '1'" in said
    assert "`name` is not what the journal says" in said
