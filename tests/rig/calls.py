"""Calls to guarded APIs, cheap enough to make hundreds a second beside the servers.

Speaks as much HTTP/1.1 as our own test servers do: keep-alive and `Content-Length`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sojourn.client.session import LiveSession
from sojourn.client.signing import Es256Key, sign_proof
from sojourn.core.secret import Secret

ANSWER_WITHIN_S: Final = 5.0
IDLE_AT_MOST_S: Final = 2.0  # the server hangs up on a line that is idle for 5 s
CUT: Final = "cut"  # the code of an answer that broke off
_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token, as a thief of its memory would know it: session, key and token."""

    session: str
    key: Es256Key
    token: Secret

    @classmethod
    def of(cls, live: LiveSession, audience: str) -> Holder:
        """What a live session holds for `audience` now; it will not learn of later tokens."""
        view = live.token_for(audience)
        assert view is not None, f"{live.id} has no token for {audience}"
        return cls(live.id, live.key, view.token)

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Token and fresh proof for one request."""
        jti, now = secrets.token_urlsafe(12), datetime.now(UTC)
        proof = sign_proof(self.key, method, url, now, jti=jti, access_token=self.token)
        return {"Authorization": f"DPoP {self.token.reveal()}", "DPoP": proof}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a guard said, and between which two instants (seconds since 1970)."""

    status: int
    code: str
    sent_at: float
    heard_at: float

    @property
    def accepted(self) -> bool:
        """Whether the application was reached."""
        return self.status == 200


class Lines:
    """Open connections by port, used again and again."""

    def __init__(self) -> None:
        self._free: dict[int, list[tuple[_Line, float]]] = defaultdict(list)

    async def get(self, port: int, holder: Holder) -> Answered:
        """Ask `/stock` of the guard at `port`."""
        url = f"http://127.0.0.1:{port}/stock"
        lines = [f"{name}: {value}" for name, value in holder.headers("GET", url).items()]
        request = "\r\n".join(("GET /stock HTTP/1.1", f"Host: 127.0.0.1:{port}", *lines, "", ""))
        line = self._take(port) or await _connect(port)
        sent_at = time.time()
        line[1].write(request.encode())
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                status, body = await _answer(line[0])
        except asyncio.IncompleteReadError:
            # The end was heard between the first octet of the answer and the last.
            line[1].close()
            return Answered(0, CUT, sent_at, time.time())
        heard_at = time.time()
        self._free[port].append((line, time.monotonic()))
        return Answered(status, "" if status == 200 else str(json.loads(body).get("code")), sent_at, heard_at)

    async def close(self) -> None:
        """Hang up."""
        for free in self._free.values():
            for (_, writer), _ in free:
                writer.close()
        self._free.clear()

    def _take(self, port: int) -> _Line | None:
        free = self._free[port]
        while free:
            line, since = free.pop()
            if time.monotonic() - since < IDLE_AT_MOST_S:
                return line
            line[1].close()
        return None


async def _connect(port: int) -> _Line:
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await asyncio.open_connection("127.0.0.1", port)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    length = next(int(h.partition(":")[2]) for h in head if h.startswith("content-length:"))
    return int(head[0].split(" ")[1]), await reader.readexactly(length)
