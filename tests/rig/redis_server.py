"""A real Redis from Debian with an ACL file, started by us and stopped by its pid."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

from tests.rig.daemon import Daemon, free_port
from tests.rig.poll import until
from tests.rig.unavailable import tool

START_SECONDS: Final = 15.0


class RedisServer:
    """One server in a directory of its own on a free loopback port; `users` are its first ACL."""

    def __init__(self, *users: str, acl_file: bool = True) -> None:
        self._binary = tool("redis-server", package="redis-server")
        self.directory = Path(tempfile.mkdtemp(prefix="sojourn-redis-"))
        self.port = free_port()
        self._acl_file = acl_file
        self._users = users
        self._daemon: Daemon | None = None
        self.acl_path.write_text("".join(f"{one}\n" for one in users))

    @property
    def acl_path(self) -> Path:
        """The file that the server reads its users from, and saves them to."""
        return self.directory / "users.acl"

    def start(self) -> None:
        """Start; returns when connections are taken."""
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self.directory), "--appendonly", "no"]
        if self._acl_file:
            command += ["--aclfile", str(self.acl_path)]
        else:
            config = self.directory / "redis.conf"
            config.write_text("".join(f"{one}\n" for one in self._users))
            command.insert(1, str(config))
        self._daemon = Daemon(command, self.directory / "log")
        until(self._answers, within_s=START_SECONDS)

    def stop(self) -> None:
        """Shut down; harmless when not running."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._daemon is not None and self._daemon.is_running(), (self.directory / "log").read_text()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0
