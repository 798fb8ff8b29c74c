"""The public side of the journal: the signed checkpoint and the tiles of hashes (C2SP tlog-tiles).

Hashes and sizes only. The entries themselves are for those who may see their session.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from sojourn.core.errors import NotFound
from sojourn.faces.http.desk import desk_of

_HASH: Final = 32
_FULL: Final = 256
_INDEX: Final = re.compile(r"((?:x[0-9]{3}/){0,5})([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL: Final = re.compile(r"0|[1-9]|[1-5][0-9]|6[0-3]")


async def checkpoint(request: Request) -> Response:
    """The newest signed checkpoint."""
    newest = await desk_of(request).store.checkpoint()
    if newest is None:
        raise NotFound("not_found", "nothing has been sealed yet")
    return PlainTextResponse(newest[1])


async def tile(request: Request, level: str, index: str) -> Response:
    """One tile of hashes, whole or the first W of it (`.p/W`)."""
    place, width = _place(level, index)
    stored = (await desk_of(request).store.tiles([place])).get(place, b"")
    if len(stored) < width * _HASH:
        raise _no_tile()
    return Response(stored[: width * _HASH], media_type="application/octet-stream")


def _place(level: str, index: str) -> tuple[tuple[int, int], int]:
    """((level, number), width) from `L` and `x001/x234/067.p/8`."""
    found = _INDEX.fullmatch(index)
    if found is None or _LEVEL.fullmatch(level) is None or (found[1] and found[1].startswith("x000/")):
        raise _no_tile()
    width = int(found[3] or _FULL)
    if width > _FULL or (found[3] is not None and width == _FULL):
        raise _no_tile()
    number = int((found[1] + found[2]).replace("x", "").replace("/", ""))
    return (int(level), number), width


def _no_tile() -> NotFound:
    return NotFound("not_found", "there is no such tile")
