"""A resource server of others, over TLS: Authlib judges the token, the connection says who sends it."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests.acceptance.oauth_libraries import Validator
from tests.rig.certificates import Pair

_SCHEME: Final = "Bearer "


@contextmanager
def resource(validator: Validator, server: Pair, callers: list[Pair]) -> Iterator[str]:
    """The address of a server that answers GET with the subject, or 401."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = _judge(validator, self.headers.get("Authorization", ""), self.connection)
            body = json.dumps({"sub": told}).encode()
            self.send_response(401 if told is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.pem, server.key_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    for caller in callers:
        context.load_verify_locations(caller.pem)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listening.server_port}/stock"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(5)


def _judge(validator: Validator, header: str, connection: object) -> str | None:
    assert isinstance(connection, ssl.SSLSocket)
    shown = connection.getpeercert(binary_form=True)
    claims = validator.claims(header.removeprefix(_SCHEME)) if header.startswith(_SCHEME) else None
    if claims is None or shown is None:
        return None
    print_of = base64.urlsafe_b64encode(hashlib.sha256(shown).digest()).rstrip(b"=").decode()
    return str(claims["sub"]) if claims["cnf"].get("x5t#S256") == print_of else None
