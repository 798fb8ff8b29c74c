"""A real NATS server from its wheel with an operator, an account of ours, and a system account."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sojourn.core.secret import Secret
from sojourn.providers.nats.nkeys import ACCOUNT, OPERATOR, Key, new_key
from tests.rig.daemon import Daemon, free_port
from tests.rig.poll import until

START_SECONDS: Final = 15.0
_NO_LIMITS: Final = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1,
    "leaf": -1,
}  # fmt: skip


class NatsServer:
    """One server in a directory of its own on a free loopback port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.operator = new_key(OPERATOR)
        self.signer = new_key(OPERATOR)
        self.system = new_key(ACCOUNT)
        self.system_signer, self.spare = new_key(ACCOUNT), new_key(ACCOUNT)
        self.account = new_key(ACCOUNT)
        self.directory = Path()
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Start; returns when connections are taken."""
        self.directory = Path(tempfile.mkdtemp(prefix="sojourn-nats-"))
        (self.directory / "jwt").mkdir()
        (self.directory / "nats.conf").write_text(self._configuration())
        binary = Path(sys.executable).parent / "nats-server"
        command = [str(binary), "-c", str(self.directory / "nats.conf")]
        self._daemon = Daemon(command, self.directory / "log")
        until(self._answers, within_s=START_SECONDS)

    def secret(self, port: int | None = None, *, system: Key | None = None) -> Secret:
        """What an operator would hand over."""
        return Secret(
            json.dumps(
                {
                    "url": f"nats://127.0.0.1:{port or self.port}",
                    "account": self.account.public,
                    "operator_seed": self.signer.seed().reveal(),
                    "system_account": self.system.public,
                    "system_seed": (system or self.system_signer).seed().reveal(),
                }
            )
        )

    def system_token(self, *signers: Key) -> str:
        """The system account, in which `signers` may sign users too."""
        keys = [one.public for one in signers]
        return self._account(self.system, "SYS", signing_keys=keys)

    def stop(self) -> None:
        """Stop; harmless when not running."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def remove(self) -> None:
        """Stop, and delete everything."""
        if self._daemon is not None:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _configuration(self) -> str:
        operator = {
            "sub": self.operator.public,
            "name": "operator",
            "iat": int(time.time()),
            "nats": {
                "type": "operator",
                "version": 2,
                "signing_keys": [self.signer.public],
                "system_account": self.system.public,
            },
        }
        return f"""
listen: 127.0.0.1:{self.port}
operator: {self.operator.sign(operator)}
system_account: {self.system.public}
resolver: {{ type: full, dir: "{self.directory / "jwt"}" }}
resolver_preload: {{
  {self.system.public}: {self.system_token(self.system_signer)}
  {self.account.public}: {self._account(self.account, "APP")}
}}
"""

    def _account(self, key: Key, name: str, **more: object) -> str:
        body = {"type": "account", "version": 2, "limits": _NO_LIMITS, **more}
        return self.signer.sign({"sub": key.public, "name": name, "iat": int(time.time()), "nats": body})

    def _answers(self) -> bool:
        assert self._daemon is not None and self._daemon.is_running(), (self.directory / "log").read_text()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0
