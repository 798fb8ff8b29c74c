"""Writes down what was shown by whom we refused: by fingerprint only, so that the log helps no thief.

Tokens, proofs, cookies, forwarded certificates and assertions, wherever in a request they stood. The
same fingerprint in two lines is the same secret shown twice: that is how a replay is found.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Message, Scope, Send

from sojourn.core.fingerprint import fingerprint
from sojourn.faces.http.limits import FORM_FIELDS

log: Final = logging.getLogger("sojourn.refused")
_TOO_MANY: Final = 429  # known, and told to wait: nothing of theirs was judged
_HEADERS: Final = (b"authorization", b"dpop", b"cookie", b"client-cert")
_MEMBERS: Final = (
    "assertion",
    "client_assertion",
    "subject_token",
    "actor_token",
    "token",
    "key_proof",
    "link",
)
# Tokens and links hold nothing that JSON escapes.
_IN_JSON: Final = re.compile(rb'"(%b)"\s{0,8}:\s{0,8}"([^"\\]+)"' % "|".join(_MEMBERS).encode())
_MOST: Final = 8  # of one request


class Refusals:
    """Watches one answer; `body` is what the request held, once it was read."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """Pass a message on; note a refusal first."""
        if message["type"] == "http.response.start" and _refuses(message["status"]):
            self._note()
        await self._send(message)

    def _note(self) -> None:
        scope = self._scope
        shown = [
            f"{name.decode('latin-1')} {fingerprint(value)}"
            for name, value in scope["headers"]
            if name in _HEADERS
        ]
        shown += (f"{name} {fingerprint(value)}" for name, value in _in_body(self.body))
        if shown:
            # The route, never the path as sent: that may hold anything.
            route = getattr(scope.get("route"), "path", "no route")
            log.info("%s %s refused: %s", scope["method"], route, ", ".join(shown))


def _refuses(status: int) -> bool:
    return 400 <= status < 500 and status != _TOO_MANY


def _in_body(body: bytes) -> Iterator[tuple[str, str]]:
    """The secrets of a form or of JSON; a body that is hostile is looked through, never parsed."""
    if body[:1] in (b"{", b"["):
        for found in islice(_IN_JSON.finditer(body), _MOST):
            yield found[1].decode(), found[2].decode("latin-1")
        return
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=FORM_FIELDS)
    except ValueError:
        return
    yield from islice(((name, value) for name, value in pairs if name in _MEMBERS), _MOST)
