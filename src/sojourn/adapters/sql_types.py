"""Column types: our ids as UUIDs and our instants as integer microseconds.

Callers bind and read ids and instants as the core knows them; what lies on disk is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, Dialect, Integer, Uuid
from sqlalchemy.types import TypeDecorator

from sojourn.core.ids import from_uuid, to_uuid
from sojourn.core.window import from_micros, to_micros

# SQLite numbers rows and orders integers in one 64-bit type of this name.
Count = BigInteger().with_variant(Integer(), "sqlite")


Writer = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


# A batch binds each of its ids several times.
_to_uuid = lru_cache(maxsize=4096)(to_uuid)


class Identifier(TypeDecorator[str]):
    """An id of one kind: prefixed text in Python, a UUID in the table."""

    impl = Uuid
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def bind_processor(self, dialect: Dialect) -> Writer:
        """Text to UUID, then as the dialect wants it; text of another kind is refused."""
        write, prefix = self.impl_instance.bind_processor(dialect) or _same, self.prefix
        return lambda value: None if value is None else write(_to_uuid(prefix, value))

    def result_processor(self, dialect: Dialect, coltype: object) -> Writer:
        """UUID to text."""
        read, prefix = self.impl_instance.result_processor(dialect, coltype) or _same, self.prefix
        return lambda value: None if value is None else from_uuid(prefix, cast("UUID", read(value)))


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: whole microseconds since 1970 in the table."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Writer:
        """Instant to microseconds."""
        return lambda value: None if value is None else to_micros(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Writer:
        """Microseconds to instant."""
        return lambda value: None if value is None else from_micros(value)
