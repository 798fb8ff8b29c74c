"""A real PgBouncer in front of the server: noticed by preflight, and nothing is issued through it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sojourn.providers.postgresql import PostgreSQL
from tests.providers.kits.by_password import ADMIN_PASSWORD
from tests.providers.kits.kit import SystemNow
from tests.providers.postgresql.conftest import Bench, config_of
from tests.rig.daemon import Daemon, free_port
from tests.rig.poll import until
from tests.rig.unavailable import tool

pytestmark = pytest.mark.anyio

# What the admin's login sets, which a pooler passes on to nobody.
LENIENT = (
    "ignore_startup_parameters = search_path, statement_timeout, lock_timeout,"
    " idle_in_transaction_session_timeout, default_transaction_isolation"
)


@contextmanager
def pgbouncer(target: int, *settings: str) -> Iterator[int]:
    """A PgBouncer of our own in transaction mode; its port."""
    binary = tool("pgbouncer", package="pgbouncer")
    folder, port = Path(tempfile.mkdtemp(prefix="sojourn-pgbouncer-")), free_port()
    (folder / "users").write_text(f'"governor" "{ADMIN_PASSWORD}"\n')
    lines = [
        "[databases]",
        f"* = host=127.0.0.1 port={target}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = scram-sha-256",
        f"auth_file = {folder / 'users'}",
        "pool_mode = transaction",
        *settings,
    ]
    (folder / "pgbouncer.ini").write_text("\n".join([*lines, ""]))
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to be root
    if user is not None:
        for one in (folder, *folder.iterdir()):
            shutil.chown(one, user)
    daemon = Daemon([binary, str(folder / "pgbouncer.ini")], folder / "log", user=user)
    try:
        until(lambda: _is_open(port))
        yield port
    finally:
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("settings", "check", "said"),
    [((), "connect", "startup parameter"), ((LENIENT,), "pooler", "a pooler answers")],
    ids=["as it comes", "made lenient"],
)
async def test_a_real_pooler_fails_the_preflight(
    bench: Bench, settings: tuple[str, ...], check: str, said: str
) -> None:
    with pgbouncer(bench.server.port, *settings) as port:
        provider = PostgreSQL(config_of(bench.server, port=port), SystemNow())

        checks = await provider.preflight("pool_")

        await provider.close()
    assert checks[-1].name == check
    assert not checks[-1].ok
    assert said in checks[-1].detail
    assert await bench.roles("pool\\_%") == 0
