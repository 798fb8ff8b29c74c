"""One server for each file; a deployment of its own, on either store, for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.rig.grave import ADMIN, LOGGED, Grave, furnish
from tests.rig.one_life import Place
from tests.rig.postgres import PostgresServer

_numbers = itertools.count(1)

Dig = Callable[..., Grave]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A governed server that logs every statement, and holds the stores that are on PostgreSQL."""
    one = PostgresServer(settings=LOGGED)
    try:
        one.start()
        furnish(one)
        yield one
    finally:
        one.remove()


@pytest.fixture(scope="module")
def dig(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dig]:
    """Gives the deployment over `sqlite` or `postgres` that the tests of a file share."""
    dug: dict[str, Grave] = {}

    def one(store: str, *, missed_after_s: float = 0.5) -> Grave:
        if store in dug:
            return dug[store]
        number = next(_numbers)
        if store == "postgres":
            server.sql(f"CREATE DATABASE store{number}")
        state = tmp_path_factory.mktemp("state")
        place = Place(
            str(state),
            f"c{number:03}",
            server.dsn("shop", user="governor", password=ADMIN),
            server.dsn("shop"),
            server.dsn(f"store{number}") if store == "postgres" else None,
            missed_after_s,
        )
        dug[store] = Grave(server, place)
        dug[store].ask("prepare")
        return dug[store]

    yield one
    for grave in dug.values():
        grave.close()
