"""Orders to the program on the host, by `ssh`, with a certificate that can do nothing else.

The key lives in a folder of this process and its certificate for two minutes, so what lies on
the disk is worth nothing soon after.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.providers.ssh.certificates import Wish, certify, new_serial, private_pem
from sojourn.providers.ssh.config import Settings

ORDER_SECONDS: Final = 6.0
CONNECT_SECONDS: Final = 3
CERTIFICATE_LIFE: Final = timedelta(minutes=2)
_LARGEST: Final = 1 << 20
_DENIED: Final = "Permission denied"  # ssh(1) says so, and nothing else, when no key was taken

Order = Mapping[str, object]


class Orders:
    """The line to one host."""

    def __init__(self, settings: Settings, authority: Ed25519PrivateKey, clock: WallClock) -> None:
        self._settings = settings
        self._authority = authority
        self._clock = clock
        self._folder: Path | None = None
        self._key = Ed25519PrivateKey.generate()

    async def give(self, verb: str, make: Callable[[datetime], Order]) -> Mapping[str, object]:
        """The host's answer to the order that `make` gives for the time it is there.

        Raises:
            TargetError: a code of the host's own, or what became of the connection.
        """
        sent = False
        process = await self._start()
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                now = _number(await self._line(process), "now")
                order = {"verb": verb, **make(datetime.fromtimestamp(now, UTC))}
                assert process.stdin is not None
                sent = True
                process.stdin.write(json.dumps(order).encode() + b"\n")
                await process.stdin.drain()
                answer = await self._line(process)
        except TimeoutError as error:
            raise TargetError("target_timeout", f"{verb}: no answer of the host", sent=sent) from error
        except (OSError, _Broken) as error:
            code = "admin_login_refused" if _DENIED in str(error) and not sent else "target_unreachable"
            raise TargetError(code, f"{verb}: {error}", sent=sent) from error
        finally:
            await _put_down(process)
        if "refused" in answer:
            raise TargetError(str(answer["refused"])[:60], f"{verb}: the host refused", sent=False)
        return answer

    def close(self) -> None:
        """Remove the folder with the key."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def log_in(self, user: str, private_key: str, certificate: str) -> bool:
        """Whether a certificate is let in, tried from here.

        Raises:
            TargetError: code `target_timeout`.
        """
        folder = self._folder = self._folder or self._make_folder()
        write_private(folder / "canary", private_key)
        (folder / "canary-cert.pub").write_text(certificate + "\n")
        process = await self._ssh(folder, "canary", user, "exit 7")
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                return await process.wait() == 7
        except TimeoutError as error:
            raise TargetError("target_timeout", "log in: no answer of the host") from error
        finally:
            (folder / "canary").unlink(missing_ok=True)
            await _put_down(process)

    async def _start(self) -> asyncio.subprocess.Process:
        folder = self._folder = self._folder or self._make_folder()
        self._certify(folder)
        return await self._ssh(folder, "key", self._settings.admin_user)

    async def _ssh(self, folder: Path, key: str, user: str, *command: str) -> asyncio.subprocess.Process:
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": f"{folder}/{key}",
            "CertificateFile": f"{folder}/{key}-cert.pub",
            "UserKnownHostsFile": f"{folder}/known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": "target",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "PreferredAuthentications": "publickey",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ControlMaster": "no",
            "ControlPath": "none",
            "ForwardAgent": "no",
            "LogLevel": "ERROR",
        }
        told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        where = ["-p", str(self._settings.port), "-l", user, "--", self._settings.host, *command]
        try:
            return await asyncio.create_subprocess_exec(
                *("ssh", "-F", "/dev/null", "-T", *told, *where),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LARGEST,
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )
        except OSError as error:
            raise TargetError("no_ssh", f"`ssh` cannot be run: {error.strerror}", sent=False) from error

    def _make_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="sojourn-ssh-"))
        (folder / "known_hosts").write_text(f"target {self._settings.host_key}\n")
        write_private(folder / "key", private_pem(self._key).reveal())
        return folder

    def _certify(self, folder: Path) -> None:
        now = self._clock.now()
        wish = Wish(
            "sojourn orders",
            self._settings.admin_user,
            new_serial(),
            now - CERTIFICATE_LIFE,  # the host's clock may be behind ours
            now + CERTIFICATE_LIFE,
            f"exec {self._settings.program} {self._settings.state} orders",
        )
        draft = folder / f"{wish.serial}.new"
        draft.write_text(certify(self._authority, self._key.public_key(), wish) + "\n")
        draft.replace(folder / "key-cert.pub")

    async def _line(self, process: asyncio.subprocess.Process) -> Mapping[str, object]:
        assert process.stdout is not None and process.stderr is not None
        try:
            raw = await process.stdout.readline()
        except ValueError as error:
            raise _Broken("the host said too much") from error
        if not raw:
            words = (await process.stderr.read(400)).decode("utf-8", "replace").strip().splitlines()
            raise _Broken(words[-1][:200] if words else "the connection ended")
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise _Broken("the host did not answer with JSON") from error
        if not isinstance(value, dict):
            raise _Broken("the host did not answer with an object")
        return value


def write_private(place: Path, text: str) -> None:
    """Write a file that is new and nobody else's to read."""
    place.unlink(missing_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


class _Broken(Exception):
    """The line broke, or what came over it was not an answer."""


def _number(answer: Mapping[str, object], name: str) -> float:
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise _Broken(f"the host did not say `{name}`")
    return float(value)


async def _put_down(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(1):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
