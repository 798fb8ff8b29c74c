"""Column types: our ids as UUIDs and our instants as integer microseconds.

Callers bind and read ids and instants as the core knows them; what lies on disk is decided here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, Dialect, Integer, Uuid
from sqlalchemy.types import TypeDecorator

from sojourn.core.ids import from_uuid, to_uuid
from sojourn.core.window import from_micros, to_micros

# SQLite numbers rows and orders integers in one 64-bit type of this name.
Count = BigInteger().with_variant(Integer(), "sqlite")


class Identifier(TypeDecorator[str]):
    """An id of one kind: prefixed text in Python, a UUID in the table."""

    impl = Uuid
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Dialect) -> UUID | None:
        """Text to UUID; text of another kind is refused."""
        return None if value is None else to_uuid(self.prefix, value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        """UUID to text."""
        return None if value is None else from_uuid(self.prefix, cast("UUID", value))


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: whole microseconds since 1970 in the table."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Instant to microseconds."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Microseconds to instant."""
        return None if value is None else from_micros(cast("int", value))
