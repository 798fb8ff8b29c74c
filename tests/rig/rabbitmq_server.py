"""A real RabbitMQ from Debian with its management API, and an epmd of its own.

As root it runs as `rabbitmq`. Everything listens on loopback and is stopped by its pid.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Final

import httpx2

from tests.rig.daemon import Daemon, free_port
from tests.rig.poll import until
from tests.rig.unavailable import tool, unavailable

START_SECONDS: Final = 60.0
ROOT_USER: Final = "root"
ROOT_PASSWORD: Final = "root-of-the-tests"
_SCRIPT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the path wants to be root
_MEND: Final = "apt-get install rabbitmq-server"


class RabbitServer:
    """One broker in a directory of its own on free loopback ports."""

    def __init__(self, *settings: str) -> None:
        self._epmd_binary = tool("epmd", package="rabbitmq-server")
        if not _SCRIPT.exists():
            unavailable("`rabbitmq-server`", _MEND)
        self.directory = Path(tempfile.mkdtemp(prefix="sojourn-rabbit-"))
        self.port = free_port()  # of the management API
        self.amqp_port = free_port()
        self._settings = settings
        self._user = "rabbitmq" if os.geteuid() == 0 else None
        self._epmd: Daemon | None = None
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Start; returns when the management API answers."""
        epmd_port = free_port()
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.directory / "rabbitmq.conf").write_text("\n".join([*self._configuration(), ""]))
        if self._user is not None:
            for one in (self.directory, *self.directory.iterdir()):
                shutil.chown(one, self._user)
        base = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}
        epmd = {**base, "ERL_EPMD_ADDRESS": "127.0.0.1"}
        command = [self._epmd_binary, "-port", str(epmd_port), "-d"]
        self._epmd = Daemon(command, self.directory / "epmd.log", env=epmd)
        until(lambda: _is_open(epmd_port), within_s=START_SECONDS)
        env = {**base, **self._environment(epmd_port)}
        self._daemon = Daemon(
            [str(_SCRIPT)], self.directory / "log", env=env, user=self._user, cwd=self.directory
        )
        until(self._answers, within_s=START_SECONDS)

    def stop(self) -> None:
        """End the broker as a crash would, then its epmd; harmless when not running."""
        if self._daemon is not None:
            os.killpg(self._daemon.pid, signal.SIGKILL)  # a shell and its Erlang, started as one group
            self._daemon.stop()
            self._daemon = None
        if self._epmd is not None:
            self._epmd.stop()
            self._epmd = None

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def set_administrator(self, user: str, password: str) -> None:
        """Make an administrator, or give one another password."""
        answer = httpx2.put(
            f"http://127.0.0.1:{self.port}/api/users/{user}",
            auth=(ROOT_USER, ROOT_PASSWORD),
            json={"password": password, "tags": "administrator"},
            trust_env=False,
        )
        answer.raise_for_status()

    def _configuration(self) -> list[str]:
        return [
            f"listeners.tcp.default = 127.0.0.1:{self.amqp_port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.port}",
            f"default_user = {ROOT_USER}",
            f"default_pass = {ROOT_PASSWORD}",
            *self._settings,
        ]

    def _environment(self, epmd_port: int) -> dict[str, str]:
        folder = self.directory
        return {
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": "sojourn@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
            ),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        assert self._daemon is not None and self._daemon.is_running(), self._last_words()
        return _is_open(self.port) and _is_open(self.amqp_port)

    def _last_words(self) -> str:
        return (self.directory / "log").read_text()[-2000:]


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
