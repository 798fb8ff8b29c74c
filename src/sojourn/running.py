"""A deployment at work: it serves until it is asked to stop, as the command `serve` or `dev` says.

Both return when the server has stopped.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from sojourn.client.profile import profile_path
from sojourn.core.errors import Unavailable
from sojourn.faces.http import request_log
from sojourn.faces.http.serving import check
from sojourn.faces.http.serving import serve as serve_http
from sojourn.faces.http.serving_file import Serving, dev_serving, read_serving, write_private
from sojourn.wiring import Deployment, assemble


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
