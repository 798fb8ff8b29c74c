"""One statement for many rows, written out once: what is left for each row is its values.

SQLAlchemy would look at every parameter of every row anew, which takes longer than the
database does. Here the statement is compiled once for each dialect and choice of columns; a
row becomes a tuple in the order of the statement's places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from sojourn.adapters.sql_rows import Columns

Process = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Written:
    text: str
    places: tuple[tuple[str, Process | None], ...]  # what stands in each, and how the driver wants it

    def row(self, columns: Columns) -> tuple[object, ...]:
        return tuple(
            columns[name] if process is None else process(columns[name]) for name, process in self.places
        )


def execute_many(connection: Connection, statement: Executable, rows: list[Columns]) -> None:
    """Execute `statement` for all rows at once, each with the same columns; for none, send nothing.

    The statement must be kept: what is compiled of it is never thrown away.
    """
    if not rows:
        return
    written = _written(statement, connection.dialect, tuple(rows[0]))
    connection.exec_driver_sql(written.text, [written.row(columns) for columns in rows])


@cache
def _written(statement: Executable, dialect: Dialect, names: tuple[str, ...]) -> _Written:
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    assert isinstance(compiled, SQLCompiler)
    order = compiled.positiontup
    assert order is not None, "both of our dialects number their parameters"
    kinds = {name: compiled.binds[name].type.dialect_impl(dialect) for name in order}
    return _Written(str(compiled), tuple((name, kinds[name].bind_processor(dialect)) for name in order))
