"""A deployment at work: opened from its folder, it serves until it is asked to stop.

`serve` and `dev` are what the command calls; both return when the server has stopped.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.opened_store import open_postgres, open_sqlite
from sojourn.adapters.socket_vault import SocketVault
from sojourn.adapters.system_clock import SystemClock
from sojourn.client.profile import profile_path
from sojourn.config import Settings
from sojourn.core.errors import Unavailable
from sojourn.faces.http import request_log
from sojourn.faces.http.serving import check, peers_of
from sojourn.faces.http.serving import serve as serve_http
from sojourn.faces.http.serving_file import Serving, deployment_id, dev_serving, read_serving, write_private
from sojourn.ports.store import Store
from sojourn.wiring import Deployment

_YOUNG: Final = 25_000  # new objects before the collector looks: what a hundred requests hold at once


async def assemble(serving: Serving) -> Deployment:
    """A deployment from its folder: keys and database opened, nothing running yet.

    Raises:
        SojournError: a key, the database or the folder is not as it must be.
    """
    deployment = deployment_id(serving.state)
    settings = Settings(serving.issuer, deployment, dpop_nonce=serving.dpop_nonce)
    vault = None if serving.signer is None else SocketVault(serving.signer, SystemClock().monotonic)
    keys = FileKeys(serving.state / "keys", vault)
    made = Deployment(
        await open_store(serving),
        settings,
        keys,
        serving.state / "calendars",
        federation=serving.federation,
        peers=peers_of(serving.listen),
    )
    return await made.prepare()


async def open_store(serving: Serving) -> Store:
    """The deployment's database, with its high-water mark beside the keys."""
    high_water = HighWater(serving.state / "keys" / "high-water")
    if serving.dsn is not None:
        return await open_postgres(serving.dsn, high_water=high_water)
    return await open_sqlite(serving.state / "sojourn.sqlite3", high_water=high_water)


async def run(serving: Serving, prepare: Callable[[Deployment], Awaitable[None]] | None = None) -> None:
    """Serve until a signal asks to stop; `prepare` is done once everything is open.

    Raises:
        Unavailable: code `store_unavailable`; the disk failed while we served.
    """
    check(serving.listen)
    deployment = await assemble(serving)
    deployment.start()
    try:
        if prepare is not None:
            await prepare(deployment)
        _offer(serving, await deployment.invite())
        _settle_memory()
        failed = deployment.failed
        await serve_http(
            deployment.app,
            serving.listen,
            started=asyncio.Event(),
            stop=failed,
            certificates=deployment.certificates,
        )
        if failed.is_set():
            raise Unavailable("store_unavailable", "the disk failed; mend it, then start again")
    finally:
        await deployment.stop()


def _settle_memory() -> None:
    """Let the collector of garbage leave alone what start-up made: it stays, and is long to walk."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def _offer(serving: Serving, link: str | None) -> None:
    """Put the first operator's link in a 0600 file, and on the terminal if there is one."""
    place = serving.state / "invitation"
    if link is None:
        place.unlink(missing_ok=True)
        return
    write_private(place, link + "\n")
    if sys.stdout.isatty():
        sys.stdout.write(f"serving {serving.issuer}\nfirst operator: sojourn login '{link}'\n")
        return
    sys.stdout.write(f"serving {serving.issuer}\nfirst operator: sojourn login, with the link in {place}\n")
    sys.stdout.flush()


def serve(config: Path) -> int:
    """Serve as the file `config` says."""
    _run(read_serving(config))
    return 0


def dev(state: Path, *, port: int) -> int:
    """Serve on loopback with embedded SQLite in `state`, with a workload that may open sessions."""
    usual = profile_path("workload", os.environ)

    async def prepare(deployment: Deployment) -> None:
        path = await deployment.enrol_dev(state)
        option = "" if path == usual else f" --profile {path}"
        sys.stdout.write(f"workload `dev`: sojourn run{option} -- COMMAND\n")
        sys.stdout.flush()

    _run(dev_serving(state, port), prepare)
    return 0


def _run(serving: Serving, prepare: Callable[[Deployment], Awaitable[None]] | None = None) -> None:
    import uvloop

    request_log.configure(sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(serving, prepare))
