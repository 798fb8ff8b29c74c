"""Short-lived roles in PostgreSQL: made for one session, cut and dropped when it ends."""

from sojourn.providers.postgresql.config import Config, from_dsn
from sojourn.providers.postgresql.provider import PostgreSQL

__all__ = ["Config", "PostgreSQL", "from_dsn"]
