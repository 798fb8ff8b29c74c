"""A pooler before MariaDB: it answers logins by itself, and lends few connections to many clients.

What ProxySQL and MaxScale do, as small as it can be: clients are checked against passwords it
knows, each command is sent over whichever connection to the server is free, and each answer is
passed back whole. `mysql_native_password` only; neither TLS nor compression.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import Mapping
from typing import Any, Final, Self

import aiomysql

_CAPABILITIES: Final = 0x003BA20D  # protocol 4.1, native passwords, databases, several results
_QUIT: Final = 1
_OK, _EOF, _REFUSED = b"\x00", b"\xfe", b"\xff"
_EOF_BELOW: Final = 9  # bytes: a longer packet that begins like one is a row


async def _answer(reader: asyncio.StreamReader) -> list[bytes]:
    """The packets of one answer: a word, or columns and rows, each ended by a packet that says so."""
    packets = [await _packet(reader)]
    if packets[0][4:5] in (_OK, _REFUSED):
        return packets
    ends = 0
    while ends < 2 and packets[-1][4:5] != _REFUSED:
        packets.append(await _packet(reader))
        ends += packets[-1][4:5] == _EOF and len(packets[-1]) - 4 < _EOF_BELOW
    return packets


class MariaPooler:
    """Listens on `port`; `says_ids_of_server` greets with the id of a connection it has, not its own."""

    def __init__(self, target: int, users: Mapping[str, str], *, says_ids_of_server: bool) -> None:
        self._target = target
        self._users = users
        self._says_ids_of_server = says_ids_of_server
        self._free: dict[str, list[Any]] = {}
        self._ids = itertools.count(70_001)
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._listener is not None:
            self._listener.close()
        for servers in self._free.values():
            for one in servers:
                one.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            user = await self._let_in(reader, writer)
            while user is not None:
                command = await _packet(reader)
                if command[4] == _QUIT:
                    break
                await self._pass_on(user, command, writer)
        except (OSError, EOFError):
            return  # a client that hung up is nobody's fault
        finally:
            writer.transport.abort()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        salt = bytes(secrets.choice(range(33, 126)) for _ in range(20))
        writer.write(_framed(0, _greeting(await self._announced(), salt)))
        hello = await _packet(reader)
        user, _, rest = hello[4 + 32 :].partition(b"\0")
        answer = rest[1 : 1 + rest[0]]
        known = self._users.get(user.decode())
        if known is None or not _fits(answer, known.encode(), salt):
            writer.write(_framed(hello[3] + 1, _REFUSED + (1045).to_bytes(2, "little") + b"#28000denied"))
            return None
        writer.write(_framed(hello[3] + 1, _OK + b"\0\0\x02\0\0\0"))
        return user.decode()

    async def _announced(self) -> int:
        if not self._says_ids_of_server:
            return next(self._ids)
        servers = [one for servers in self._free.values() for one in servers]
        return int(servers[-1].thread_id()) if servers else next(self._ids)

    async def _pass_on(self, user: str, command: bytes, client: asyncio.StreamWriter) -> None:
        free = self._free.setdefault(user, [])
        server = free.pop() if free else await self._opened(user)
        server._writer.write(command)
        client.writelines(await _answer(server._reader))
        await client.drain()
        free.append(server)

    async def _opened(self, user: str) -> Any:
        told = {"host": "127.0.0.1", "port": self._target, "user": user, "password": self._users[user]}
        return await aiomysql.connect(**told, autocommit=True, charset="utf8mb4")


def _greeting(number: int, salt: bytes) -> bytes:
    """Protocol 10, as MariaDB speaks it (Protocol::HandshakeV10)."""
    low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    head = b"\x0a5.5.5-10.11.0-MariaDB\0" + number.to_bytes(4, "little") + salt[:8] + b"\0"
    middle = low.to_bytes(2, "little") + b"\x2d\x02\0" + high.to_bytes(2, "little") + b"\x15" + bytes(10)
    return head + middle + salt[8:] + b"\0mysql_native_password\0"


def _fits(answer: bytes, password: bytes, salt: bytes) -> bool:
    once = hashlib.sha1(password).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return answer == bytes(a ^ b for a, b in zip(once, mask, strict=True))


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head[:3], "little"))


def _framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body
