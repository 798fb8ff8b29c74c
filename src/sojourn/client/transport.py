"""HTTP to one control plane: requests out, answers or errors of our tree back.

Built on `http.client`, because importing a larger library takes longer than the request.
Follows no redirect, uses no proxy from the environment and logs nothing. Sends once: what may
be repeated is the caller's to know, and `Unavailable` says whether anything left (`unreachable`:
nothing did; `no_answer`: it may have).
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sojourn.client.jsonfacts import Json, parse_object
from sojourn.client.tls import ClientTls
from sojourn.core.errors import (
    Conflict,
    Invalid,
    NotFound,
    Refused,
    SojournError,
    TargetError,
    Unauthenticated,
    Unavailable,
)

TIMEOUT_S: Final = 15.0
_LARGEST: Final = 64 << 20  # a bundle of a long session; everything else is far smaller


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, read whole."""

    status: int
    body: bytes

    def json(self) -> Json:
        """The body as a JSON object."""
        return parse_object(self.body)


class Transport:
    """Sends requests to the control plane at `issuer`; with `tls`, shows a certificate there."""

    def __init__(self, issuer: str, *, timeout_s: float = TIMEOUT_S, tls: ClientTls | None = None) -> None:
        self.issuer = issuer.rstrip("/")
        self.timeout_s = timeout_s
        self.tls = tls
        self._parts = check_issuer(self.issuer)
        self.nonce: str | None = None
        """What the server last asked proofs to carry (RFC 9449, section 8)."""

    def url(self, path: str) -> str:
        """The address of `path` as proofs name it."""
        return self.issuer + path

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        wait_s: float = 0.0,
    ) -> Answer:
        """Send one request on a connection of its own; `wait_s` is added to the deadline.

        Raises:
            SojournError: what the server answered, or `Unavailable`.
        """
        context = None if self.tls is None else self.tls.context()
        connection = connect(self._parts, self.timeout_s + wait_s, context=context)
        try:
            return self._exchange(connection, method, path, (headers, body))
        finally:
            connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: tuple[Mapping[str, str], bytes | None],
    ) -> Answer:
        headers, body = content
        try:
            connection.connect()
        except OSError as error:
            raise Unavailable(
                "unreachable", f"cannot reach `{self.issuer}`: {error.strerror or error}"
            ) from error
        try:
            connection.request(
                method, self._parts.path.rstrip("/") + path, body, {"Accept": "*/*", **headers}
            )
            response = connection.getresponse()
            content_bytes = response.read(_LARGEST + 1)
            self.nonce = response.getheader("DPoP-Nonce") or self.nonce
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                "no_answer", f"`{self.issuer}` did not answer: {type(error).__name__}{self._hint(error)}"
            ) from error
        if len(content_bytes) > _LARGEST:
            raise Invalid("bad_answer", f"expected at most {_LARGEST} bytes from `{self.issuer}`")
        if 200 <= response.status < 300:
            return Answer(response.status, content_bytes)
        raise error_of(response.status, content_bytes)

    def _hint(self, error: Exception) -> str:
        # TLS 1.3 lets a client finish before its certificate is judged; then the server hangs up.
        hung_up = isinstance(error, ssl.SSLError | ConnectionError)
        return "; it may not take the certificate in `tls.crt`" if self.tls and hung_up else ""


def check_issuer(issuer: str) -> SplitResult:
    """Refuse an address that would send proofs in the clear to another machine.

    Raises:
        Invalid: code `bad_issuer`.
    """
    parts = urlsplit(issuer)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Invalid("bad_issuer", f"expected an http(s) address, got `{issuer[:80]}`")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Invalid("bad_issuer", f"plain http is for this machine only; use https for `{parts.hostname}`")
    return parts


def is_loopback(host: str) -> bool:
    """Whether `host` names this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def connect(
    parts: SplitResult, timeout_s: float, *, context: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """A connection, not yet opened, to where `parts` points; over TLS as `context` says."""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout_s, context=context
        )
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)


def error_of(status: int, body: bytes) -> SojournError:
    """The error that a problem (RFC 9457) or an OAuth error (RFC 6749, section 5.2) stands for."""
    try:
        found = parse_object(body)
    except Invalid:
        found = {}
    code = found.get("code") or found.get("error") or f"http_{status}"
    detail = found.get("detail") or found.get("error_description") or found.get("title") or f"status {status}"
    reason = found.get("reason")
    message = f"{detail} ({reason})" if isinstance(reason, str) and reason not in str(detail) else str(detail)
    return _kind_of(status)(_clean(str(code)), _clean(message))


def _kind_of(status: int) -> type[SojournError]:
    match status:
        case 401:
            return Unauthenticated
        case 403:
            return Refused
        case 404 | 410:
            return NotFound
        case 409 | 412:
            return Conflict
        case 502:
            return TargetError
        case 408 | 429:
            return Unavailable
        case _:
            return Unavailable if status >= 500 else Invalid


def _clean(text: str) -> str:
    # A server's words go to a terminal: no control characters, no flood.
    return "".join(c if c.isprintable() else "?" for c in text)[:500]
