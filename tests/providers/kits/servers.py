"""Starts each kind of server once, and makes kits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from tests.providers.kits import mysql, nats, openbao, postgresql, rabbitmq, redis, ssh
from tests.providers.kits.kit import Kit
from tests.rig.mariadb import MariaServer
from tests.rig.mysql_server import MySQLServer
from tests.rig.nats_server import NatsServer
from tests.rig.openbao import real_openbao
from tests.rig.postgres import PostgresServer
from tests.rig.rabbitmq_server import RabbitServer
from tests.rig.redis_server import RedisServer
from tests.rig.sshd import running_sshd


class Server(Protocol):
    """A server of the rig that was started."""

    def remove(self) -> None:
        """Stop it, and delete everything."""


def _mariadb() -> tuple[Server, Callable[[], Kit]]:
    server = MariaServer()
    server.start()
    mysql.prepare(server)
    return server, lambda: mysql.MariaKit(server)


def _mysql() -> tuple[Server, Callable[[], Kit]]:
    server = MySQLServer()
    server.start()
    mysql.prepare(server)
    return server, lambda: mysql.MySQLKit(server)


def _redis() -> tuple[Server, Callable[[], Kit]]:
    server = RedisServer(*redis.USERS)
    server.start()
    return server, lambda: redis.RedisKit(server)


def _rabbitmq() -> tuple[Server, Callable[[], Kit]]:
    server = RabbitServer(*rabbitmq.SETTINGS)
    server.start()
    server.set_administrator(rabbitmq.ADMIN_USER, rabbitmq.ADMIN_PASSWORD)
    return server, lambda: rabbitmq.RabbitKit(server)


def _nats() -> tuple[Server, Callable[[], Kit]]:
    server = NatsServer()
    server.start()
    return server, lambda: nats.NatsKit(server)


def _postgresql() -> tuple[Server, Callable[[], Kit]]:
    server = PostgresServer()
    server.start()
    postgresql.prepare(server)
    return server, lambda: postgresql.PostgresKit(server)


class _Until(ExitStack):
    """What runs for as long as it is wanted."""

    def remove(self) -> None:
        self.close()


def _ssh() -> tuple[Server, Callable[[], Kit]]:
    until = _Until()
    host = until.enter_context(running_sshd())
    return until, lambda: ssh.SshKit(host)


def _openbao() -> tuple[Server, Callable[[], Kit]]:
    until = _Until()
    folder = until.enter_context(TemporaryDirectory(prefix="sojourn-bao-"))
    place = until.enter_context(real_openbao(Path(folder)))
    return until, lambda: openbao.BaoKit(place)


_START: Final[Mapping[str, Callable[[], tuple[Server, Callable[[], Kit]]]]] = {
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "mysql": _mysql,
    "redis": _redis,
    "rabbitmq": _rabbitmq,
    "nats": _nats,
    "ssh": _ssh,
    "openbao": _openbao,
}
ALL: Final = tuple(_START)
BESIDE: Final = ("ssh", "openbao")  # one's messages no proxy can read; the other has suites of its own
FAULTY: Final = tuple(name for name in ALL if name not in BESIDE)
KITS: Final = tuple(name for name in FAULTY if name != "postgresql")  # it was first, with suites of its own


class Servers:
    """The servers that were asked for."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Server, Callable[[], Kit]]] = {}

    def kit(self, name: str) -> Kit:
        """A kit of that kind; its server is started first if it is not running."""
        if name not in self._running:
            self._running[name] = _START[name]()
        return self._running[name][1]()

    def remove(self) -> None:
        """Stop every server."""
        while self._running:
            _, (server, _) = self._running.popitem()
            server.remove()
