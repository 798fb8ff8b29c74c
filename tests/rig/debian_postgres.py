"""Debian's PostgreSQL, which has the extensions that the wheel lacks: a server that counts use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig.postgres import PostgresServer
from tests.rig.unavailable import unavailable


@contextmanager
def counting_postgres() -> Iterator[PostgresServer]:
    """A running server with `pg_stat_statements`, in each database that is made from now on."""
    server = PostgresServer(
        settings=("shared_preload_libraries=pg_stat_statements",), binaries=_debian_binaries()
    )
    try:
        server.start()
        server.sql("CREATE EXTENSION pg_stat_statements", "template1")
        yield server
    finally:
        server.remove()


def _debian_binaries() -> Path:
    """Where the newest one is, or the test ends as not run."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: int(one.parts[-3]))
    if not found:
        unavailable("Debian's PostgreSQL", "apt-get install postgresql")
    return found[-1].parent
