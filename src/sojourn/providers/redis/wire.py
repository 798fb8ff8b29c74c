"""The driver, as much of it as is used here: one connection, commands, and blocks of them.

Nobody else in this package imports redis-py. It reconnects by itself when told to send on a
closed connection; here that is refused, because a WATCH would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.connection import Connection as Inner
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

from sojourn.core.secret import Secret
from sojourn.providers._common.address import Address
from sojourn.providers._common.call import Failures

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 5.0

_CODES: Final = {
    "WRONGPASS": "login_refused",
    "NOAUTH": "login_refused",
    "NOPERM": "missing_privilege",
    "LOADING": "target_busy",
    "BUSY": "target_busy",
    "MASTERDOWN": "target_busy",
    "READONLY": "read_only",
    "OOM": "target_full",
}


class ServerError(Exception):
    """The server or the driver reported an error; `mend` would help, if known."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.mend = ""


class Answered(ServerError):
    """The server answered with an error: the connection is as good as before."""


class Connection:
    """One connection to a server."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    async def ask(self, *words: str | int) -> Any:
        """Send one command; its answer."""
        return (await self.ask_all([words]))[0]

    async def ask_all(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Send commands in one message; their answers, of which an error is raised when all are in."""
        if self.is_closed():
            raise ServerError("target_unreachable", "the connection is closed")
        answers: list[Any] = []
        failed: ServerError | None = None
        try:
            await self._inner.send_packed_command(self._inner.pack_commands(commands))
            for _ in commands:
                try:
                    answers.append(await self._inner.read_response(timeout=READ_SECONDS))
                except ResponseError as error:
                    failed = failed or _error(error)
        except RedisError as error:
            raise _error(error) from error
        if failed is not None:
            raise failed
        return answers

    async def next(self) -> Any:
        """Whatever the server sends next, without a limit of time."""
        try:
            return await self._inner.read_response(timeout=None)
        except RedisError as error:
            raise _error(error) from error

    def is_closed(self) -> bool:
        """Whether it is known to be closed; a lost server shows at once."""
        reader = self._inner._reader
        return reader is None or reader.at_eof()

    def drop(self) -> None:
        """Close it where it stands."""
        writer = self._inner._writer
        self._inner._reader = self._inner._writer = None
        if writer is not None:
            writer.transport.abort()


async def connect(address: Address, user: str, password: Secret) -> Connection:
    """Log in; nothing is retried, and no environment is consulted."""
    told: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "username": user,
        "password": password.reveal(),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "protocol": 2,
        "driver_info": None,
    }
    if address.tls == "disable":
        inner: Inner = Inner(**told)
    else:
        inner = SSLConnection(
            **told,
            ssl_cert_reqs="none" if address.tls == "require" else "required",
            ssl_check_hostname=address.tls == "verify-full",
            ssl_ca_certs=address.ca_file,
        )
    try:
        await inner.connect()  # type: ignore[no-untyped-call]
    except RedisError as error:
        raise _error(error) from error
    return Connection(inner)


def raise_inside(answer: Any) -> list[Any]:
    """The answers of a transaction; an error among them is raised.

    Raises:
        Answered: a command inside the transaction failed.
    """
    for one in answer:
        if isinstance(one, RedisError):
            raise _error(one)
    return list(answer)


def _error(error: RedisError) -> ServerError:
    words = str(error) or type(error).__name__
    # The driver cuts the first word off where it knows it, and keeps it beside.
    head = str(getattr(error, "status_code", None) or words.partition(" ")[0])
    code = _CODES.get(head)
    if code is None and "max number of clients" in words:
        code = "target_full"
    if isinstance(error, ResponseError):
        return Answered(code or "target_refused", words)
    return ServerError(code or ("target_timeout" if isinstance(error, Late) else "target_unreachable"), words)


def code_of(error: Exception) -> str:
    """The stable code of whatever a call raised."""
    return error.code if isinstance(error, ServerError) else "target_unreachable"


FAILURES: Final = Failures((ServerError, OSError, EOFError), code_of)
