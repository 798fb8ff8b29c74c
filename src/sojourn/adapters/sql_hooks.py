"""How far each hook has come: a working table, and who is telling it now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, Row, String, Table, Text, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sojourn.adapters.sql_schema import metadata
from sojourn.adapters.sql_types import Count, Identifier, Instant
from sojourn.core import ids
from sojourn.core.hook import Hook, HookPlace
from sojourn.core.ids import HookId

hook_place: Final = Table(
    "hook_place",
    metadata,
    Column("hook", Identifier(ids.HOOK), primary_key=True),
    Column("next", Count, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_at", Instant),
    Column("given_up", Count, nullable=False),
    Column("error", Text, nullable=False),
    Column("held_by", String(128)),
    Column("held_until", Instant),
)
_PLACE: Final = hook_place


def place(connection: Connection, hook: HookId) -> HookPlace | None:
    """How far the hook has come; None before its first turn."""
    row = connection.execute(select(_PLACE).where(_PLACE.c.hook == hook)).first()
    return None if row is None else _place_of(row)


def hold(
    connection: Connection, hook: Hook, holder: str, *, now: datetime, until: datetime
) -> HookPlace | None:
    """Take the hook's place until `until`; None while another holds it, or it waits for its retry."""
    build: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    first = {"hook": hook.id, "next": hook.since, "attempts": 0, "given_up": 0, "error": ""}
    connection.execute(build(_PLACE).values(**first).on_conflict_do_nothing(index_elements=["hook"]))
    free = or_(_PLACE.c.held_until.is_(None), _PLACE.c.held_until <= now, _PLACE.c.held_by == holder)
    due = or_(_PLACE.c.run_at.is_(None), _PLACE.c.run_at <= now)
    taken = (
        update(_PLACE)
        .where(_PLACE.c.hook == hook.id, free, due)
        .values(held_by=holder, held_until=until)
        .returning(_PLACE)
    )
    row = connection.execute(taken).first()
    return None if row is None else _place_of(row)


def move(connection: Connection, hook: HookId, holder: str, to: HookPlace) -> bool:
    """Write down how far the hook has come, and let go of it; false if `holder` has lost it."""
    values: dict[str, object] = {"next": to.next, "attempts": to.attempts, "run_at": to.run_at}
    values |= {"given_up": to.given_up, "error": to.error, "held_by": None, "held_until": None}
    given = update(_PLACE).where(_PLACE.c.hook == hook, _PLACE.c.held_by == holder).values(**values)
    return connection.execute(given).rowcount == 1


def _place_of(row: Row[Any]) -> HookPlace:
    return HookPlace(row.next, row.attempts, row.run_at, row.given_up, row.error)
