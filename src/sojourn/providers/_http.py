"""One HTTP API as seen by an administrator of it: bounded, unredirected, never retried.

Knows nothing of what the API does. Every failure is a `TargetError` that says whether the
request may have had an effect.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.window import parse
from sojourn.ports.provider import Intent

CALL_SECONDS: Final = 4.0
LARGEST_ANSWER: Final = 1 << 20
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

_NEVER_LEFT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
_CODES: Final = {
    401: "admin_login_refused",
    403: "missing_privilege",
    404: "missing_object",
    409: "handle_taken",
    429: "target_busy",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said; `body` is at most `LARGEST_ANSWER` bytes."""

    status: int
    body: bytes

    def json(self, *, sent: bool = True) -> object:
        """The body as JSON.

        Raises:
            TargetError: code `bad_answer`.
        """
        try:
            value: object = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise TargetError("bad_answer", "the answer is not JSON", sent=sent) from error
        return value

    def members(self, *, sent: bool = True) -> Mapping[str, object]:
        """The body as a JSON object.

        Raises:
            TargetError: code `bad_answer`.
        """
        value = self.json(sent=sent)
        if not isinstance(value, dict):
            raise TargetError("bad_answer", "the answer is not a JSON object", sent=sent)
        return value


class HttpApi:
    """One API under one base address; opens its connections when it is first asked."""

    def __init__(self, base: str, *, ca_file: str | None = None, seconds: float = CALL_SECONDS) -> None:
        """Raises `Invalid`, code `bad_target`, unless `base` is https, or http to loopback."""
        self._base = _checked_base(base)
        self._ca_file = ca_file
        self._seconds = seconds
        self._http: httpx2.AsyncClient | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status. `path` is already escaped: see `segment`.

        Raises:
            TargetError: codes `target_timeout`, `target_unreachable`, `bad_answer`.
        """
        url = f"{self._base}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        # An answer that unfolds would have no bound that its length could tell.
        told = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        if content is not None:
            told["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(httpx2.Request(method, url, headers=told, content=content))
        except _NEVER_LEFT as error:
            raise TargetError("target_unreachable", _words(method, error), sent=False) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise TargetError("target_timeout", f"{method}: no answer in {self._seconds:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TargetError("target_unreachable", _words(method, error)) from error

    async def ask(self, method: str, path: str, wanted: Iterable[int], verb: str, **told: Any) -> Answer:
        """As `call`, for an answer whose status is one of `wanted`; `verb` says what it was for.

        Raises:
            TargetError: as `call` and `expect`.
        """
        return expect(await self.call(method, path, **told), wanted, verb)

    async def close(self) -> None:
        """Close what is open."""
        if self._http is not None:
            opened, self._http = self._http, None
            await opened.aclose()

    async def _exchange(self, request: httpx2.Request) -> Answer:
        client = self._client()
        response = await client.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise TargetError("bad_answer", "the answer is compressed, which was not asked for")
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise TargetError("bad_answer", f"expected at most {LARGEST_ANSWER} bytes")
            return Answer(response.status_code, body)
        finally:
            await response.aclose()

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            # A secret must not be led elsewhere: neither by a redirect nor by proxy variables.
            self._http = httpx2.AsyncClient(
                timeout=self._seconds, verify=self._tls(), follow_redirects=False, trust_env=False
            )
        return self._http

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            text = f"`ca_file` cannot be read: {error.strerror or type(error).__name__}"
            raise TargetError("bad_ca_file", text, sent=False) from error


def expect(answer: Answer, wanted: Iterable[int], verb: str) -> Answer:
    """The answer, if its status is one of `wanted`.

    Raises:
        TargetError: `sent` is false where the target refused, so that nothing was done.
    """
    if answer.status in wanted:
        return answer
    raise refused(answer.status, verb)


def refused(status: int, verb: str) -> TargetError:
    """The error for a status that nobody wanted; the body is not repeated, it may hold a secret."""
    nothing_done = 400 <= status < 500 and status != 408
    code = _CODES.get(status, "target_refused" if nothing_done else "target_failed")
    return TargetError(code, f"{verb}: the target answered {status}", sent=not nothing_done)


@asynccontextmanager
async def within(verb: str, seconds: float) -> AsyncIterator[None]:
    """Bound everything one method does in time; what is malformed was never sent."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except Invalid as error:
        raise TargetError(error.code, error.message, sent=False) from error
    except TimeoutError as error:
        raise TargetError("target_timeout", f"{verb}: not done in {seconds:g} s") from error


def require_time(intent: Intent, now: datetime) -> None:
    """Refuse to send what could land after its deadline.

    Raises:
        TargetError: code `deadline_passed`, with `sent` false.
    """
    if now >= intent.issue_by:
        raise TargetError("deadline_passed", "the deadline passed before it was sent", sent=False)


def instant_in(text: str) -> datetime:
    """An instant as an API writes it.

    Raises:
        TargetError: code `bad_answer`.
    """
    try:
        return parse(text)
    except Invalid as error:
        raise TargetError("bad_answer", "an instant in the answer cannot be read") from error


def segment(text: str) -> str:
    """`text` as one segment of a path, whatever it holds (RFC 3986, section 3.3).

    Raises:
        Invalid: code `bad_segment`; it is empty or would be taken for a relative step.
    """
    if text in ("", ".", ".."):
        raise Invalid("bad_segment", f"`{text}` cannot be a part of a path")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise Invalid("bad_segment", "a part of a path is not valid Unicode") from error


def path(*segments: str) -> str:
    """The path that leads through `segments`, each escaped."""
    return "".join(f"/{segment(one)}" for one in segments)


def texts(found: Mapping[str, object], names: Sequence[str]) -> list[str]:
    """The members of an answer that must be non-empty strings.

    Raises:
        TargetError: code `bad_answer`, naming the member.
    """
    values = []
    for name in names:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise TargetError("bad_answer", f"the answer has no `{name}`")
        values.append(value)
    return values


def _checked_base(base: str) -> str:
    try:
        url = urlsplit(base)
        port = url.port
    except ValueError as error:
        raise Invalid("bad_target", "the address is not a URL with a numeric port") from error
    if url.username or url.password or url.query or url.fragment or port == 0:
        raise Invalid("bad_target", "an address holds a scheme, a host, a port and a path, nothing else")
    if not url.hostname or url.scheme not in ("https", "http"):
        raise Invalid("bad_target", "an address begins with `https://` and a host")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        raise Invalid("bad_target", "in the clear only a loopback address is reached")
    return base.rstrip("/")


def _words(method: str, error: Exception) -> str:
    return f"{method}: {type(error).__name__}"
