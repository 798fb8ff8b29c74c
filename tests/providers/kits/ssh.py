"""OpenSSH: shells that write the time into a book on the host, and looks of our own at its processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued
from sojourn.providers.ssh import OpenSsh
from sojourn.providers.ssh.on_host import running_in
from tests.providers.kits.kit import Kit, SystemNow, working
from tests.rig.sshd import USER, Sshd

# One process a shell and none a line: two cores must carry them all.
_WRITE = (
    "exec bash -c 'exec 3<> <(:); while :; do echo $EPOCHREALTIME >> {book}; read -rt {every} -u 3; done'"
)
# As bad as a workload can be: it ends the program that watches it, and hides its environment.
_HIDE = (
    "env -i setsid bash -c 'echo $$ > {place}; exec sleep 300' > /dev/null 2>&1 & "
    "until [ -s {place} ]; do :; done; kill -9 $PPID"
)
_LOGIN_SECONDS = 20.0


class SshKit(Kit):
    """One host and its provider; sessions log in by the real client."""

    name = "ssh"
    template: ClassVar = {"user": USER}
    writers = 2  # each login is two key exchanges and four processes
    kills_at_once = 1
    made: OpenSsh

    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd
        self.port = sshd.port
        self.clock = SystemNow()
        self.folder = Path(tempfile.mkdtemp(prefix="sojourn-work-"))
        self.made = self.through(sshd.port)
        self._handles: dict[str, str] = {}  # by the host's id
        self._logins = itertools.count(1)

    @property
    def provider(self) -> OpenSsh:
        return self.made

    def through(self, port: int, secret: Secret | None = None, **settings: object) -> OpenSsh:
        told = self.sshd.settings(port=port, **settings)
        return OpenSsh.configured(told, {"shell": self.template}, secret or self.sshd.authority, self.clock)

    async def can_log_in(self, issued: Issued) -> bool:
        return await self.run(issued, "echo in") == (0, "in")

    async def run(self, issued: Issued, *command: str) -> tuple[int, str]:
        """What a command says, with its code."""
        process = await self.start(issued, *command)
        async with asyncio.timeout(_LOGIN_SECONDS):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode().strip()

    async def start(
        self, issued: Issued, *command: str, options: tuple[str, ...] = ()
    ) -> asyncio.subprocess.Process:
        """The client of one login."""
        self._handles[issued.target_id] = key_id_of(issued)
        line = self.sshd.login(issued, self.folder / f"login{next(self._logins)}", *command)
        return await asyncio.create_subprocess_exec(
            *(line[:1] + list(options) + line[1:]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        script = _WRITE.format(book=shlex.quote(str(self._book(key_id_of(issued)))), every=every)

        async def work() -> None:
            while True:
                process = await self.start(issued, script)
                try:
                    await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()

        async with working(work, tasks):
            yield

    @asynccontextmanager
    async def stowed_away(self, issued: Issued) -> AsyncIterator[int]:
        place = self.folder / f"stowaway-{key_id_of(issued)}"
        client = await self.start(issued, _HIDE.format(place=shlex.quote(str(place))))
        async with asyncio.timeout(_LOGIN_SECONDS):
            await client.wait()  # its connection ends with the program, and it does not
        pid = await asyncio.to_thread(lambda: int(place.read_text()))
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)

    async def writes(self, handle: str) -> int:
        return len(self.times(handle))

    async def last_write(self, handle: str) -> datetime | None:
        last = max(self.times(handle), default=None)
        return None if last is None else datetime.fromtimestamp(last, UTC)

    async def target_now(self) -> datetime:
        return datetime.now(UTC)  # the host is this machine

    async def survivors(self, target_id: str) -> int:
        """Processes that write the session's book, or that the program runs for it."""
        handle = self._handles.get(target_id, "\0")
        words = (self._book(handle).name.encode(), f"\0session\0{handle}\0".encode())
        return sum(_mentions(int(pid), words) for pid in os.listdir("/proc") if pid.isdecimal())

    async def accounts(self, handle: str) -> int:
        return int((self.sshd.state / "admitted" / handle).exists())

    async def close(self) -> None:
        await self.made.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def running(self, handle: str) -> int:
        """How many processes the host's own program finds."""
        return len(running_in(handle))

    def times(self, handle: str) -> list[float]:
        """When the session's shells wrote."""
        place = self._book(handle)
        return [float(line) for line in place.read_text().split() if "." in line] if place.exists() else []

    def _book(self, handle: str) -> Path:
        return self.folder / f"book-{handle}"


def key_id_of(issued: Issued) -> str:
    """The handle, which is the key id of the certificate."""
    certificate = load_ssh_public_identity(json.loads(issued.secret.reveal())["certificate"].encode())
    assert isinstance(certificate, SSHCertificate)
    return certificate.key_id.decode()


def _mentions(pid: int, words: tuple[bytes, ...]) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # The client is the workload's own, and lives where it likes.
    return not command.startswith(b"ssh\0") and any(word in command for word in words)
