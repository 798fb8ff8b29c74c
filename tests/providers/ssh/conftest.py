"""One sshd for all tests of this folder, and a workload with a live shell on it."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sojourn.ports.provider import Intent, Issued, Ref
from sojourn.providers.ssh import OpenSsh
from sojourn.providers.ssh.on_host import running_in
from tests.providers.http_rig import ShiftedClock, fresh_intent
from tests.rig.sshd import USER, Sshd, running_sshd

SHELL: dict[str, object] = {"user": USER}
_numbers = itertools.count(1)


@dataclass
class SshRig:
    """Logs in by the real client; looks at the host's processes by itself."""

    sshd: Sshd
    provider: OpenSsh
    clock: ShiftedClock
    folder: Path

    def intent(self) -> Intent:
        return fresh_intent(self.clock, SHELL, life=timedelta(minutes=5))

    async def can_log_in(self, issued: Issued) -> bool:
        return await self.run(issued, "echo in") == (0, "in")

    async def run(self, issued: Issued, *command: str) -> tuple[int, str]:
        process = await self.start(issued, *command)
        async with asyncio.timeout(20):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode().strip()

    async def start(
        self, issued: Issued, *command: str, options: tuple[str, ...] = ()
    ) -> asyncio.subprocess.Process:
        line = self.sshd.login(issued, self.folder / f"login{next(_numbers)}", *command)
        return await asyncio.create_subprocess_exec(
            *(line[:1] + list(options) + line[1:]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        """Shells that write the time to a file, each started again when it is cut."""
        place = shlex.quote(str(self._book(issued.target_id)))
        script = f"while :; do date +%s.%N >> {place}; sleep {every}; done"

        async def work() -> None:
            while True:
                process = await self.start(issued, script)
                try:
                    await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()

        running = [asyncio.create_task(work()) for _ in range(tasks)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def writes(self, handle: str) -> int:
        return len(self._times(await self._id(handle)))

    async def last_write(self, handle: str) -> datetime | None:
        last = max(self._times(await self._id(handle)), default=None)
        return None if last is None else datetime.fromtimestamp(last, UTC)

    async def target_now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    async def survivors(self, target_id: str) -> int:
        """Processes that hold the session's book open or loop over it, by a look of our own."""
        name = self._book(target_id).name.encode()
        return sum(1 for pid in os.listdir("/proc") if pid.isdecimal() and _mentions(int(pid), name))

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        return Ref(intent.handle, issued.target_id, intent.expires_at)

    def book(self, issued: Issued) -> list[float]:
        """When the session's shells wrote."""
        return self._times(issued.target_id)

    def running(self, handle: str) -> int:
        return len(running_in(handle))

    async def _id(self, handle: str) -> str:
        return await self.provider.locate(handle) or ""

    def _book(self, target_id: str) -> Path:
        return self.folder / f"book-{target_id}"

    def _times(self, target_id: str) -> list[float]:
        place = self._book(target_id)
        return [float(line) for line in place.read_text().split() if "." in line] if place.exists() else []


def _mentions(pid: int, name: bytes) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return name in command and not command.startswith(b"ssh\0")  # the client is the workload's own


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as one:
        yield one


@pytest.fixture
async def rig(sshd: Sshd) -> AsyncIterator[SshRig]:
    clock = ShiftedClock()
    provider = OpenSsh.configured(sshd.settings(), {"shell": SHELL}, sshd.authority, clock)
    folder = Path(tempfile.mkdtemp(prefix="sojourn-work-"))
    try:
        yield SshRig(sshd, provider, clock, folder)
    finally:
        await provider.close()
        shutil.rmtree(folder, ignore_errors=True)
