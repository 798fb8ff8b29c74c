"""AMQP 0-9-1, as much of it as a canary needs: log in, enter a virtual host, wait for the end.

Written from the specification's framing (section 4.2) and the methods of class `connection`.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from sojourn.core.secret import Secret

HEADER: Final = b"AMQP\x00\x00\x09\x01"
FRAME_END: Final = 0xCE
METHOD: Final = 1
LONGEST_FRAME: Final = 131_072

START, START_OK = (10, 10), (10, 11)
TUNE, TUNE_OK = (10, 30), (10, 31)
OPEN, OPEN_OK = (10, 40), (10, 41)
CLOSE, CLOSE_OK = (10, 50), (10, 51)

# Without it the server just hangs up on a wrong password, after a pause.
_CAPABLE: Final = b"\x0ccapabilitiesF" + struct.pack(">I", 31) + b"\x1cauthentication_failure_closet\x01"


class AmqpError(Exception):
    """The server closed the connection; `code` is its reply code (403: access refused)."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code


class Amqp:
    """One connection, logged in to one virtual host; heartbeats are off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def log_in(self, user: str, password: Secret, vhost: str) -> None:
        """Authenticate and enter `vhost`.

        Raises:
            AmqpError: the server refused.
        """
        self._writer.write(HEADER)
        await self.expect(START)
        answer = b"\x00" + user.encode() + b"\x00" + password.reveal().encode()
        self.send(0, START_OK, _long(_CAPABLE) + _short("PLAIN") + _long(answer) + _short("en_US"))
        await self.expect(TUNE)
        self.send(0, TUNE_OK, struct.pack(">HIH", 2047, LONGEST_FRAME, 0))
        self.send(0, OPEN, _short(vhost) + b"\x00\x00")
        await self.expect(OPEN_OK)

    async def until_cut(self) -> None:
        """Return when the server has ended the connection."""
        try:
            while True:
                await self.next_method()
        except (AmqpError, OSError, EOFError):
            return

    async def expect(self, wanted: tuple[int, int]) -> bytes:
        """The arguments of the next method, which must be `wanted`."""
        method, arguments = await self.next_method()
        if method != wanted:
            raise AmqpError(0, f"expected method {wanted}, got {method}")
        return arguments

    async def next_method(self) -> tuple[tuple[int, int], bytes]:
        """The next method; frames of other kinds are passed over.

        Raises:
            AmqpError: it was the server's `close` of the connection or of a channel.
        """
        while True:
            kind, _, size = struct.unpack(">BHI", await self._reader.readexactly(7))
            if size > LONGEST_FRAME:
                raise AmqpError(0, f"a frame of {size} bytes")
            payload = await self._reader.readexactly(size + 1)
            if payload[-1] != FRAME_END:
                raise AmqpError(0, "a frame without its end")
            if kind != METHOD:
                continue
            method = struct.unpack(">HH", payload[:4])
            if method in (CLOSE, (20, 40)):
                code, length = struct.unpack(">HB", payload[4:7])
                raise AmqpError(code, payload[7 : 7 + length].decode("utf-8", "replace"))
            return (method[0], method[1]), payload[4:-1]

    def send(self, channel: int, method: tuple[int, int], arguments: bytes) -> None:
        """Send one method."""
        payload = struct.pack(">HH", *method) + arguments
        self.send_frame(METHOD, channel, payload)

    def send_frame(self, kind: int, channel: int, payload: bytes) -> None:
        """Send one frame."""
        self._writer.write(struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END]))

    def hang_up(self) -> None:
        """Drop the connection where it stands."""
        self._writer.transport.abort()


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


def _long(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw
