"""For those who keep it running: alive, ready, and numbers. No id and no secret is ever a label."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from sojourn.core.client import Role
from sojourn.core.errors import Unavailable
from sojourn.faces.http import views
from sojourn.faces.http.callers import with_role
from sojourn.faces.http.desk import desk_of

_READY_WITHIN_S: Final = 2.0  # an orchestrator's usual probe timeout is longer
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_FORWARDING: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


async def healthy(request: Request) -> Response:
    """This process answers."""
    return views.reply({"status": "ok"})


async def ready(request: Request) -> Response:
    """This process answers and its database does, too; `mode` tells if anything waits since a restore."""
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            store = desk_of(request).store
            await store.head()  # refused to a node whose epoch is over
            await store.checkpoint()  # which no store knows by heart
            waiting = await store.reconciling() or await store.restored(limit=1)
    except TimeoutError as error:
        raise Unavailable(
            "store_unavailable", f"the database did not answer within {_READY_WITHIN_S:g} s"
        ) from error
    return views.reply({"status": "ok", "mode": "reconcile" if waiting else "normal"})


async def metrics(request: Request) -> Response:
    """Counters in the Prometheus text format: to operators, and to whoever asks from this machine."""
    if not _is_local(request):
        await with_role(request, Role.OPERATOR)
    desk = desk_of(request)
    await desk.meters.look(desk.store, desk.clock.now())
    return Response(generate_latest(desk.meters.registry), media_type=CONTENT_TYPE_LATEST)


def _is_local(request: Request) -> bool:
    """From loopback and not passed on by a proxy, which would make everybody local."""
    near = request.client is not None and request.client.host in _LOOPBACK
    return near and not any(name in request.headers for name in _FORWARDING)
