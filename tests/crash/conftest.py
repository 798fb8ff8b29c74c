"""One server for each file; a deployment of its own, on either store, for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.grave import ADMIN, LOGGED, Grave, furnish
from tests.rig.one_life import Place
from tests.rig.postgres import PostgresServer

_numbers = itertools.count(1)

Dig = Callable[[str], Grave]


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


@pytest.fixture
def dig(server: PostgresServer, tmp_path: Path) -> Iterator[Dig]:
    """Makes a deployment over `sqlite` or `postgres`, prepared."""
    dug: list[Grave] = []

    def one(store: str) -> Grave:
        number = next(_numbers)
        if store == "postgres":
            server.sql(f"CREATE DATABASE store{number}")
        state = tmp_path / f"state{number}"
        state.mkdir(mode=0o700)
        place = Place(
            str(state),
            f"c{number:03}",
            server.dsn("shop", user="governor", password=ADMIN),
            server.dsn("shop"),
            server.dsn(f"store{number}") if store == "postgres" else None,
        )
        dug.append(Grave(server, place))
        dug[-1].ask("prepare")
        return dug[-1]

    yield one
    for grave in dug:
        grave.close()
