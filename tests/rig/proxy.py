"""A TCP proxy that holds, drops, rewrites and cuts single messages between a client and a server.

Knows frames, not meaning: those of PostgreSQL's protocol, or, with `frames=False`, what a
client wrote at once. What was held is delivered even when the client has hung up by
then: so behaves a network. TLS is not spoken, so clients connect in the clear.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import anyio

_LENGTH: Final = 4
_DRAIN_SECONDS: Final = 5.0  # how long a server may still answer a client that has gone

Rewrite = Callable[[bytes], bytes]


@dataclass(slots=True)
class Rule:
    """What happens to the messages of clients that contain `match`; each rule acts once."""

    match: bytes
    hold_seconds: float = 0.0
    drop: bool = False  # the message never arrives
    drop_reply: bool = False  # it arrives, but nothing comes back any more
    cut_after: bool = False  # with drop_reply: hang up once the server has answered
    used: bool = False


@dataclass(slots=True, eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    silent: bool = False
    cut_after: bool = False


class Proxy:
    """Listens on a loopback port and passes on to `port`."""

    def __init__(self, port: int, *, frames: bool = True) -> None:
        self._target = port
        self._frames = frames
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.rules: list[Rule] = []
        self.rewrite: Rewrite | None = None  # every message of the server goes through it
        self.refusing = False
        self.stalled = False  # nothing passes, either way, and nothing is closed
        self.errors: list[bytes] = []  # error messages of the server, answered or swallowed
        self.delivered = 0  # held messages that reached the server
        self.let_go = 0  # held messages that were passed on, whether or not anybody took them
        self.cut_at: int | None = None  # the client's message at which its connection ends
        self.cut_arrives = False  # whether that message still reaches the server
        self.seen = 0  # messages of clients
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Drop every connection there is."""
        for link in tuple(self._links):
            link.client.transport.abort()
            link.server.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self.refusing:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        link = _Link(writer, up_writer)
        self._links.add(link)
        back = asyncio.create_task(self._to_client(link, up_reader))
        try:
            await self._to_server(link, reader)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.wait([back], timeout=_DRAIN_SECONDS if link.silent else 0.1)
        finally:
            back.cancel()
            self._links.discard(link)
            writer.transport.abort()
            up_writer.transport.abort()

    async def _to_server(self, link: _Link, reader: asyncio.StreamReader) -> None:
        started = False
        while True:
            frame = await self._read(reader, typed=started)
            started = True
            self.seen += 1
            rule = self._rule_for(frame)
            if self.seen == self.cut_at:
                if not self.cut_arrives:
                    raise ConnectionResetError
                link.silent = link.cut_after = True
            if rule is not None:
                if rule.drop:
                    continue
                await asyncio.sleep(rule.hold_seconds)
                link.silent, link.cut_after = rule.drop_reply, rule.cut_after
                self.let_go += bool(rule.hold_seconds)
            await self._pass()
            link.server.write(frame)
            await link.server.drain()
            if rule is not None and rule.hold_seconds:
                self.delivered += 1

    async def _to_client(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                frame = await self._read(reader, typed=True)
                if self._frames and frame[:1] == b"E":
                    self.errors.append(frame)
                await self._pass()
                if link.silent:
                    if link.cut_after and (not self._frames or frame[:1] in (b"Z", b"T", b"n")):
                        link.client.transport.abort()
                    continue
                link.client.write(self.rewrite(frame) if self.rewrite else frame)
                await link.client.drain()
        except (OSError, asyncio.IncompleteReadError):
            link.client.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, *, typed: bool) -> bytes:
        if self._frames:
            return await _frame(reader, typed=typed)
        chunk = await reader.read(1 << 16)
        if not chunk:
            raise ConnectionResetError
        return chunk

    async def _pass(self) -> None:
        while self.stalled:
            await asyncio.sleep(0.02)

    def _rule_for(self, frame: bytes) -> Rule | None:
        for rule in self.rules:
            if not rule.used and rule.match in frame:
                rule.used = True
                return rule
        return None


class ProxyThread:
    """The proxy on an event loop of its own, so that tests may wait in threads."""

    def __init__(self, port: int) -> None:
        self.proxy = Proxy(port)
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: anyio.run(self._serve), daemon=True)

    def start(self) -> None:
        """Listen; `proxy.port` is known afterwards."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Hang up and end."""
        self._stop.set()
        self._thread.join(20)

    async def _serve(self) -> None:
        async with self.proxy:
            self._ready.set()
            while not self._stop.is_set():
                await anyio.sleep(0.05)


async def _frame(reader: asyncio.StreamReader, *, typed: bool) -> bytes:
    head = await reader.readexactly(1 + _LENGTH if typed else _LENGTH)
    length = int.from_bytes(head[-_LENGTH:], "big")
    return head + await reader.readexactly(length - _LENGTH)
