"""An API that machines reach only inside a session. Run: uvicorn --factory examples.guarded_api:create"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sojourn.guard.asgi import Guard
from sojourn.guard.profile import load_profile


async def stock(request: Request) -> JSONResponse:
    return JSONResponse({"apples": 3, "session": request.scope["sojourn"].session})


async def ticks() -> AsyncIterator[str]:
    for count in range(86_400):
        yield f"data: {count}\n\n"
        await asyncio.sleep(0.1)


async def events(request: Request) -> StreamingResponse:
    return StreamingResponse(ticks(), media_type="text/event-stream")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


def create() -> Guard:
    app = Starlette(routes=[Route("/stock", stock), Route("/events", events), WebSocketRoute("/echo", echo)])
    profile = load_profile(Path(os.environ["GUARD_PROFILE"]))
    needs = {"/stock": ["stock.read"], "/events": ["stock.read"], "/echo": ["stock.read"]}
    return Guard(app, profile, base=os.environ.get("GUARD_BASE", "http://127.0.0.1:8080"), require=needs)
