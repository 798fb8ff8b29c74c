"""The management API, as much of it as is used here.

Reads and removals share a client. What makes or changes a user goes over a connection of
its own, on which the server waits only so long for the request: see `put_fenced`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import h11
import httpx2

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.providers._common.address import Address
from sojourn.providers._common.call import Call, Failures

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 5.0
MOST_BYTES: Final = 16_000_000  # of one answer: a long list of users

_CODES: Final = {401: "admin_login_refused", 403: "missing_privilege", 503: "target_busy", 429: "target_busy"}


class ApiError(Exception):
    """The API did not do what was asked."""

    def __init__(self, code: str, status: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.status = status
        self.mend = "rabbitmqctl set_user_tags ADMIN administrator" if code == "missing_privilege" else ""


class Api:
    """Calls one management API as its admin."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._password = address.password
        context = address.context()
        self._client = httpx2.AsyncClient(
            base_url=f"{address.scheme}://{_host(address)}:{address.port}",
            verify=True if context is None else context,
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )

    def replace_password(self, password: Secret) -> None:
        """Use `password` from now on."""
        self._password = password

    async def get(self, *path: str) -> Any:
        """What there is under `path`, or None if there is nothing."""
        answer = await self._send("GET", path)
        return None if answer.status_code == 404 else _json(answer.content)

    async def delete(self, *path: str) -> None:
        """Remove what is under `path`; removing nothing succeeds.

        Of two removals of one thing at once the server fails one; its repetition finds nothing.
        """
        try:
            await self._send("DELETE", path)
        except ApiError as error:
            if error.status != 500:
                raise
            await self._send("DELETE", path)

    async def put(self, body: Mapping[str, object], *path: str) -> None:
        """Set what belongs to a user that exists; refused by the server when it does not."""
        await self._send("PUT", path, body)

    async def put_fenced(self, call: Call, body: Mapping[str, object], *path: str) -> int:
        """Send one PUT over a fresh connection; the status of the answer.

        The server closes a connection on which no request came within `request_timeout` of its
        opening. The request is one write, so one that was held back on the way, here or in a
        network, meets a closed connection.
        """
        address = self._address
        reader, writer = await asyncio.open_connection(
            address.host, address.port, ssl=address.context(), limit=MOST_BYTES
        )
        try:
            content = json.dumps(body).encode()
            connection = h11.Connection(our_role=h11.CLIENT)
            head = h11.Request(
                method="PUT",
                target=_target(path),
                headers=[
                    ("Host", f"{_host(address)}:{address.port}"),
                    ("Authorization", self._authorization()),
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(content))),
                    ("Connection", "close"),
                ],
            )
            parts = [connection.send(one) for one in (head, h11.Data(data=content), h11.EndOfMessage())]
            call.sent = True
            writer.write(b"".join(part for part in parts if part))
            await writer.drain()
            return await _status(connection, reader)
        finally:
            writer.transport.abort()

    async def date(self) -> str:
        """The server's clock, as its answers carry it."""
        return str((await self._send("GET", ("whoami",))).headers.get("date", ""))

    async def patience(self, limit: float) -> float | None:
        """How long the server keeps a connection without a request, or None for longer than `limit`."""
        address = self._address
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.context())
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(limit):
                await reader.read(1)
            return asyncio.get_running_loop().time() - begun
        except TimeoutError:
            return None
        finally:
            writer.transport.abort()

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None = None
    ) -> httpx2.Response:
        headers = {"Authorization": self._authorization()}
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        answer = await self._client.request(method, _target(path), headers=headers, content=content)
        if answer.is_success or answer.status_code == 404:
            return answer
        raise refusal(answer.status_code, answer.text)

    def _authorization(self) -> str:
        pair = f"{self._address.user}:{self._password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def refusal(status: int, words: str) -> ApiError:
    """The error for a status that is no success."""
    code = _CODES.get(status, "target_busy" if status >= 500 else "target_refused")
    if "not_found" in words:
        code = "missing_object"
    return ApiError(code, status, f"{status}: {words[:200]}")


async def _status(connection: h11.Connection, reader: asyncio.StreamReader) -> int:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            return int(event.status_code)
        elif isinstance(event, h11.ConnectionClosed):
            raise TargetError("deadline_passed", "the server closed the connection before the request")


def _json(content: bytes) -> Any:
    if len(content) > MOST_BYTES:
        raise ApiError("target_refused", 200, "the answer is too long")
    try:
        return json.loads(content)
    except ValueError as error:
        raise ApiError("target_refused", 200, "the answer is not JSON") from error


def _target(path: tuple[str, ...]) -> str:
    return "/api/" + "/".join(quote(part, safe="") for part in path)


def _host(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host


def code_of(error: Exception) -> str:
    """The stable code of whatever a call raised."""
    if isinstance(error, ApiError):
        return error.code
    return "target_timeout" if isinstance(error, httpx2.TimeoutException) else "target_unreachable"


FAILURES: Final = Failures((ApiError, httpx2.HTTPError, h11.ProtocolError, OSError, EOFError), code_of)
