"""A real sshd on a free loopback port, with our program installed, as the user who runs the tests."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued
from sojourn.providers.ssh import on_host
from sojourn.providers.ssh.certificates import private_pem
from tests.rig.poll import until
from tests.rig.program import Program
from tests.rig.unavailable import tool

USER: Final = getpass.getuser()
_PYTHON_HERE: Final = f"#!{sys.executable} -IS"


@dataclass(frozen=True)
class Sshd:
    """One host: where it is, who signs for it, and its folder."""

    port: int
    folder: Path
    authority: Secret
    host_key: str

    @property
    def state(self) -> Path:
        """What our program knows."""
        return self.folder / "state"

    def settings(self, **other: object) -> dict[str, object]:
        """The settings of a target for this host."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "host_key": self.host_key,
            "users": [USER],
            "admin_user": USER,
            "program": str(self.folder / "sojourn-host"),
            "state": str(self.state),
            **other,
        }

    def login(self, issued: Issued, folder: Path, *command: str) -> list[str]:
        """The command that logs in with an issued certificate; its files go into `folder`."""
        told = json.loads(issued.secret.reveal())
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "id").write_text(told["private_key"])
        (folder / "id").chmod(0o600)
        (folder / "id-cert.pub").write_text(told["certificate"] + "\n")
        (folder / "known").write_text(f"target {issued.connection['host_key']}\n")
        options = (
            *("BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", f"IdentityFile={folder}/id"),
            *(f"CertificateFile={folder}/id-cert.pub", f"UserKnownHostsFile={folder}/known"),
            *("HostKeyAlias=target", "StrictHostKeyChecking=yes", "ConnectTimeout=5", "LogLevel=ERROR"),
        )
        told_options = [part for option in options for part in ("-o", option)]
        where = ["-p", str(self.port), "-l", issued.connection["user"]]
        return ["ssh", "-F", "/dev/null", *told_options, *where, "127.0.0.1", *command]


@contextmanager
def running_sshd() -> Iterator[Sshd]:
    """A server for the length of the block."""
    sshd = tool("sshd", package="openssh-server")
    tool("ssh", package="openssh-client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks itself in
    folder = Path(tempfile.mkdtemp(prefix="sojourn-sshd-"))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    authority, host = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    made = Sshd(port, folder, private_pem(authority), _public(host))
    _install(made, _public(authority), private_pem(host))
    program = Program([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], folder / "log")
    program.start()
    try:
        until(lambda: _answers(port), within_s=15)
        yield made
    finally:
        program.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _install(made: Sshd, authority: str, host: Secret) -> None:
    """What the guide has an administrator do, but for the port and the user."""
    source = Path(on_host.__file__).read_text()
    installed = made.folder / "sojourn-host"
    installed.write_text(source.replace("#!/usr/bin/python3 -IS", _PYTHON_HERE, 1))
    installed.chmod(0o755)
    made.state.mkdir()
    (made.state / "ca.pub").write_text(f"{authority}\n")
    subprocess.run([str(installed), str(made.state), "prepare"], check=True, timeout=20)
    (made.folder / "host_key").write_text(host.reveal())
    (made.folder / "host_key").chmod(0o600)
    lines = {
        "Port": made.port,
        "ListenAddress": "127.0.0.1",
        "HostKey": made.folder / "host_key",
        "PidFile": "none",
        "TrustedUserCAKeys": made.state / "ca.pub",
        "RevokedKeys": made.state / "krl",
        "AuthenticationMethods": "publickey",
        "AuthorizedKeysFile": "none",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "UsePAM": "no",
        # What a developer's shell runs at its start is cut in the middle by these tests, and minds it.
        "SetEnv": f"HOME={made.folder}",
        "MaxStartups": 100,
    }
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    (made.folder / "sshd_config").write_text(text)


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as line:
            return line.recv(4) == b"SSH-"
    except OSError:
        return False
