"""Writes down what was shown by whom we refused: by fingerprint only, so that the log helps no thief.

Tokens, proofs, cookies, forwarded certificates and assertions, wherever in a request they stood. The
same fingerprint in two lines is the same secret shown twice: that is how a replay is found.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Message, Scope, Send

from sojourn.core.fingerprint import fingerprint

log: Final = logging.getLogger("sojourn.refused")
_TOO_MANY: Final = 429  # known, and told to wait: nothing of theirs was judged
_HEADERS: Final = (b"authorization", b"dpop", b"cookie", b"client-cert")
_MEMBERS: Final = frozenset(
    {"assertion", "client_assertion", "subject_token", "actor_token", "token", "key_proof", "link"}
)


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
            log.info("%s %s refused: %s", scope["method"], scope["path"][:200], ", ".join(shown))


def _refuses(status: int) -> bool:
    return 400 <= status < 500 and status != _TOO_MANY


def _in_body(body: bytes) -> Iterator[tuple[str, str]]:
    """The secrets of a form or of JSON, at any depth; of anything else none."""
    if body[:1] in (b"{", b"["):
        try:
            yield from _in_json(json.loads(body))
        except (ValueError, RecursionError):
            return
        return
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=64)
    except ValueError:
        return
    yield from ((name, value) for name, value in pairs if name in _MEMBERS)


def _in_json(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, held in value.items():
            if name in _MEMBERS and isinstance(held, str):
                yield name, held
            else:
                yield from _in_json(held)
