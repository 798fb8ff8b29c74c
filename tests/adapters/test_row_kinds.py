"""A kind of row that one table forgot would be recorded as a fact and never stored."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from sojourn.adapters.migrations import upgrade
from sojourn.adapters.sql_judge import LOCK_ORDER
from sojourn.adapters.sql_rows import CHANGING
from sojourn.adapters.sql_schema import STATE_TABLES
from sojourn.core.record import RowKind
from sojourn.core.replay import ROW_TYPES


def test_every_kind_of_row_is_in_every_table_of_kinds() -> None:
    kinds = set(RowKind)

    assert set(LOCK_ORDER) == set(CHANGING) == set(STATE_TABLES) == set(ROW_TYPES) == kinds
    assert len(LOCK_ORDER) == len(kinds)


def test_the_newest_migration_is_the_one_end_of_the_chain() -> None:
    chain = Config()
    chain.set_main_option("script_location", str(Path(upgrade.__file__).parent))

    assert ScriptDirectory.from_config(chain).get_heads() == [upgrade.NEWEST]
