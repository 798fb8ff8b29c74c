"""Requests that were made beforehand, sent over many connections at once: for benchmarks of servers.

Bare HTTP/1.1 on raw sockets, so that the sender costs the other core as little as possible.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlencode, urlsplit

Reply = tuple[int, bytes]


def form(url: str, fields: dict[str, str], **headers: str) -> bytes:
    """A POST of a form, as it goes over the wire."""
    parts = urlsplit(url)
    body = urlencode(fields).encode()
    told = {"Host": parts.netloc, "Content-Type": "application/x-www-form-urlencoded", **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])).encode() + body


async def rate(
    port: int, requests: Sequence[bytes], *, in_flight: int, good: Callable[[Reply], bool]
) -> tuple[float, list[float]]:
    """Answers per second, and how long each took; every answer must be `good`."""
    waiting: Iterator[bytes] = iter(requests)
    took: list[float] = []
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(in_flight)]

    async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in waiting:
            began = time.perf_counter()
            writer.write(request)
            reply = await _reply(reader)
            took.append(time.perf_counter() - began)
            assert good(reply), reply
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller(*connection) for connection in connections))
    return len(requests) / (time.perf_counter() - began), took


async def _reply(reader: asyncio.StreamReader) -> Reply:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return status, await reader.readexactly(int(length))
