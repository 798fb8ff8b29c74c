"""A chat tool's receiver over real HTTPS: it verifies what it is told, and can bring answers.

It is written from the specification of Standard Webhooks, and shares no code with the server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sojourn.client.jsonfacts import Json, member
from tests.rig.issuers.issuer import Answer, Call, HttpsServer
from tests.rig.issuers.tls import Authority


class Chat:
    """What was told, in order; `status` is what it answers."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder, "chat")
        self._server = HttpsServer(self._authority.server())
        self._server.routes["/in"] = self._hear
        self.url = f"{self._server.url}/in"
        self.secret = ""
        self.status = 204
        self.told: list[Json] = []
        self.tries = 0
        self.unsigned = 0

    @property
    def tables(self) -> str:
        """What the server's file says, so that it may speak to loopback."""
        return f'[hook_hosts."127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\nca = "{self._authority.path}"\n'

    def of(self, kind: str) -> list[Json]:
        """The data of what was told of one kind."""
        return [member(one, "data") for one in self.told if one.get("type") == f"sojourn.{kind}"]

    def close(self) -> None:
        """Stop."""
        self._server.close()

    def answer(
        self, url: str, data: Json, person: str, word: str, *, name: str | None = None
    ) -> tuple[int, Json]:
        """Bring the answer of `person` to a request as it was told."""
        said = {"approval": data["approval"], "hash": data["hash"], "answer": word, "person": person}
        body, stamp, name = json.dumps(said).encode(), str(int(time.time())), name or secrets.token_hex(8)
        signature = base64.b64encode(self._mac(name, stamp, body)).decode()
        headers = {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
        request = urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def _hear(self, call: Call) -> Answer:
        self.tries += 1
        expected = self._mac(call.headers["webhook-id"], call.headers["webhook-timestamp"], call.body)
        shown = base64.b64decode(call.headers["webhook-signature"].removeprefix("v1,"))
        if not hmac.compare_digest(expected, shown):
            self.unsigned += 1
            return 401, {}, b""
        if self.status < 300:
            self.told.append(json.loads(call.body))
        return self.status, {}, b""

    def _mac(self, name: str, stamp: str, body: bytes) -> bytes:
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        return hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()


@contextmanager
def running_chat(folder: Path) -> Iterator[Chat]:
    """A chat that listens until the end."""
    chat = Chat(folder)
    try:
        yield chat
    finally:
        chat.close()
