"""A real MariaDB from Debian, started by us and stopped by its pid. As root it runs as `mysql`."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from tests.rig.daemon import Daemon, free_port
from tests.rig.poll import until
from tests.rig.unavailable import tool

START_SECONDS: Final = 30.0
_PACKAGE: Final = "mariadb-server"
_ROOT: Final = "root"


class MariaServer:
    """One server in a directory of its own on a free loopback port; every statement is logged."""

    options: ClassVar[Sequence[str]] = ("--performance-schema=OFF",)

    def __init__(self) -> None:
        self.binary = self.find()
        self._client = tool("mariadb", package=_PACKAGE)
        self.directory = Path(tempfile.mkdtemp(prefix="sojourn-maria-"))
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self._daemon: Daemon | None = None

    def find(self) -> str:
        """The server's program, or the test ends as not run."""
        return tool("mariadbd", package=_PACKAGE)

    @property
    def log_path(self) -> Path:
        """Where the server writes every statement."""
        return self.directory / "general.log"

    def start(self) -> None:
        """Start, making the tables first if there are none; returns when logins are answered."""
        fresh = not (self.directory / "tables").exists()
        if fresh:
            self.make_tables()
        command = [self.binary, "--no-defaults", f"--datadir={self.directory / 'tables'}"]
        command += [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._socket}"]
        command += ["--skip-log-bin", "--innodb-buffer-pool-size=16M", *self.options]
        command += ["--general-log=1", f"--general-log-file={self.log_path}"]
        self._daemon = Daemon(command, self.directory / "log", user=self.user())
        until(self._answers, within_s=START_SECONDS)
        if fresh:
            self.sql(
                "DROP USER IF EXISTS ''@'localhost', ''@'vm';"
                f"CREATE USER boss@'127.0.0.1' IDENTIFIED BY '{self.password}';"
                "GRANT ALL ON *.* TO boss@'127.0.0.1' WITH GRANT OPTION"
            )

    def stop(self) -> None:
        """Shut down in order; harmless when not running."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, statement: str, database: str = "") -> str:
        """Run SQL as root over the socket and return tab-separated rows."""
        done = subprocess.run(
            [self._client, "--no-defaults", "-N", "-B", "-u", _ROOT, "-S", str(self._socket), database],
            check=False,
            input=statement,
            text=True,
            capture_output=True,
            timeout=START_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    @property
    def _socket(self) -> Path:
        return self.directory / "s.sock"

    def _answers(self) -> bool:
        assert self._daemon is not None and self._daemon.is_running(), (self.directory / "log").read_text()
        try:
            return self.sql("SELECT 1") == "1"
        except RuntimeError:
            return False

    def user(self) -> str | None:
        """Whom the server runs as, if not as us."""
        return "mysql" if os.geteuid() == 0 else None

    def make_tables(self) -> None:
        """Make the server's own tables."""
        if os.geteuid() == 0:
            shutil.chown(self.directory, "mysql")
        subprocess.run(
            [tool("mariadb-install-db", package=_PACKAGE), "--no-defaults", "--skip-test-db"]
            + [f"--datadir={self.directory / 'tables'}", "--auth-root-authentication-method=normal"]
            + _as_user(),
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )


def _as_user() -> list[str]:
    return [f"--user={pwd.getpwnam('mysql').pw_name}"] if os.geteuid() == 0 else []
