"""The driver, as much of it as is used here: requests to a server as a user of the system account.

Every connection logs in as a user made for it, whose token expires soon: the server itself
then closes the connection, so a message held back on the way is never read.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import nats
import nats.errors
from nats.aio.client import Client

from sojourn.providers._common.address import Address
from sojourn.providers._common.call import Failures
from sojourn.providers.nats.config import Config
from sojourn.providers.nats.nkeys import USER, Key, new_key, read_claims

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 3.0
PAGE: Final = 256  # connections in one answer, which has to fit into one message
WRITER: Final = "sojourn-writer:"

T = TypeVar("T")


class ServerError(Exception):
    """The server or the driver reported an error; `mend` would help, if known."""

    def __init__(self, code: str, words: str, mend: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.mend = mend


class Connection:
    """One connection as a user of the system account."""

    def __init__(self, client: Client, config: Config, closed: asyncio.Event) -> None:
        self._client = client
        self._config = config
        self._closed = closed  # set when the server is gone: the driver lets a question wait on

    async def server_now(self) -> datetime:
        """The server's clock."""
        answer = await self._ask("$SYS.REQ.SERVER.PING", {})
        return datetime.fromisoformat(str(answer["server"]["time"])[:26].rstrip("Z") + "+00:00")

    async def account(self) -> dict[str, Any]:
        """The account's claims, as the server holds them."""
        subject = f"$SYS.REQ.ACCOUNT.{self._config.account}.CLAIMS.LOOKUP"
        token = (await self._request(subject, b"")).decode()
        if not token:
            raise ServerError("missing_object", f"the server has no account `{self._config.account}`")
        try:
            return read_claims(token)
        except ValueError as error:
            raise ServerError("target_refused", "the server's account claims cannot be read") from error

    async def replace_account(self, claims: dict[str, Any], now: datetime) -> None:
        """Give the server new claims of the account, signed by the operator's key."""
        token = self._config.operator.sign({**claims, "iat": int(now.timestamp())})
        answer = json.loads(await self._request("$SYS.REQ.CLAIMS.UPDATE", token.encode()))
        if "error" in answer or answer.get("data", {}).get("code") != 200:
            words = answer.get("error", {}).get("description", "no account was updated")
            raise ServerError("missing_privilege", f"the account was not updated: {words}")

    async def connections(self, account: str) -> list[dict[str, Any]]:
        """Every connection of an account."""
        found: list[dict[str, Any]] = []
        while True:
            asked = {"auth": True, "limit": PAGE, "offset": len(found)}
            answer = await self._ask(f"$SYS.REQ.ACCOUNT.{account}.CONNZ", asked)
            page = answer["data"].get("connections") or []
            found += [{**one, "server_id": answer["data"].get("server_id", "")} for one in page]
            if len(page) < PAGE:
                return found

    async def kick(self, server: str, connection: int) -> None:
        """Close one connection."""
        await self._ask(f"$SYS.REQ.SERVER.{server}.KICK", {"cid": connection})

    async def servers(self, seconds: float) -> int:
        """How many servers answer within `seconds`."""
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        await self._client.publish("$SYS.REQ.SERVER.PING", b"", reply=inbox)
        count = 0
        try:
            async with asyncio.timeout(seconds):
                async for _ in answers.messages:
                    count += 1
        except TimeoutError:
            return count
        return count

    def is_closed(self) -> bool:
        """Whether it is known to be closed."""
        return not self._client.is_connected

    async def _ask(self, subject: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer = json.loads(await self._request(subject, json.dumps(body).encode()))
        if not isinstance(answer, dict):
            raise ServerError("target_refused", "the server's answer is not an object")
        return answer

    async def _request(self, subject: str, body: bytes) -> bytes:
        if self.is_closed():
            raise ServerError("target_unreachable", "the connection is closed")
        question = self._client.request(subject, body, timeout=ANSWER_SECONDS)
        try:
            return bytes((await alone(question, unless=self._closed)).data)
        except nats.errors.NoRespondersError as error:
            raise ServerError("missing_privilege", f"nobody answers `{subject[:60]}`") from error


@asynccontextmanager
async def as_system_user(config: Config, name: str, until: datetime) -> AsyncIterator[Connection]:
    """A connection that the server closes at `until`, by its own clock, in whole seconds."""
    key = new_key(USER)
    claims = {
        "sub": key.public,
        "name": name,
        "iat": int((until - timedelta(minutes=1)).timestamp()),
        "exp": int(until.timestamp()),
        "nats": {
            "type": "user",
            "version": 2,
            "subs": -1,
            "data": -1,
            "payload": -1,
            "issuer_account": config.system_account,
        },
    }
    if config.system.public == config.system_account:
        del claims["nats"]["issuer_account"]  # type: ignore[attr-defined]
    closed = asyncio.Event()
    async with AsyncExitStack() as stack:
        login = logged_in(config.address, config.system.sign(claims), key, name=name, closed=closed)
        try:
            client = await stack.enter_async_context(login)
        except nats.errors.Error as error:
            if code_of(error) != "login_refused":
                raise
            words = f"the system account refuses users of our key: {error}"
            raise ServerError("admin_login_refused", words) from error
        yield Connection(client, config, closed)


@asynccontextmanager
async def logged_in(
    address: Address, token: str, key: Key, *, name: str, closed: asyncio.Event | None = None
) -> AsyncIterator[Client]:
    """A connection with a user's token and key; it never reconnects, and sets `closed` at its end."""
    client = Client()

    async def over() -> None:
        if closed is not None:
            closed.set()

    try:
        await alone(
            client.connect(
                servers=[f"nats://{address.host}:{address.port}"],
                name=name,
                user_jwt_cb=lambda: bytearray(token.encode()),
                signature_cb=lambda nonce: base64.b64encode(key.private.sign(nonce.encode())),
                allow_reconnect=False,
                max_reconnect_attempts=1,  # or a server that refuses is asked for ever
                reconnect_time_wait=0,
                connect_timeout=int(CONNECT_SECONDS),
                error_cb=_ignore,
                disconnected_cb=over,
                closed_cb=over,
                tls=address.context(),
            )
        )
        yield client
    finally:
        await alone(client.close())


async def alone(work: Coroutine[Any, Any, T], *, unless: asyncio.Event | None = None) -> T:
    """Run `work` of the driver in a task of its own, and stop waiting when `unless` is set.

    The driver swallows the cancellation of whoever waits for it to write; ours must not be lost.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_look_at)  # also when nobody waits for it any more
    over = asyncio.ensure_future(unless.wait() if unless else asyncio.Event().wait())
    try:
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ServerError("target_unreachable", "the connection was closed")
        return task.result()
    finally:
        task.cancel()
        over.cancel()


def _look_at(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


async def _ignore(_: Exception) -> None:
    """The driver would log it; the call that suffers from it is told."""


def code_of(error: Exception) -> str:
    """The stable code of whatever a call raised."""
    if isinstance(error, ServerError):
        return error.code
    if isinstance(error, nats.errors.TimeoutError):
        return "target_timeout"
    words = str(error).lower()
    return "login_refused" if "authorization" in words or "authentication" in words else "target_unreachable"


FAILURES: Final = Failures((ServerError, nats.errors.Error, ValueError, OSError, EOFError), code_of)
