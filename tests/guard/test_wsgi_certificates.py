"""A WSGI guard knows a token's sender by the certificate of the connection, as servers tell of it."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest

from sojourn.core.binding import of_certificate
from sojourn.guard.wsgi import WsgiGuard
from tests.guard.world import BASE, Workload, running_plane, until
from tests.rig.certificates import HERE, Pair, make

Tell = Callable[[ssl.SSLSocket], dict[str, object]]


def as_apache(connection: ssl.SSLSocket) -> dict[str, object]:
    """`SSLOptions +ExportCertData`; without a certificate the variable is empty."""
    der = connection.getpeercert(binary_form=True)
    return {"SSL_CLIENT_CERT": "" if der is None else ssl.DER_cert_to_PEM_cert(der)}


def as_gunicorn(connection: ssl.SSLSocket) -> dict[str, object]:
    return {"gunicorn.socket": connection}


@contextmanager
def serving(app: Any, own: Pair, callers: Pair, tell: Tell) -> Iterator[int]:
    """The port of a WSGI server that ends TLS itself, and lets callers show certificates."""

    class Handler(WSGIRequestHandler):
        def get_environ(self) -> dict[str, Any]:
            assert isinstance(self.connection, ssl.SSLSocket)
            return {**super().get_environ(), **tell(self.connection)}

        def log_message(self, format: str, *args: object) -> None:
            return

    server = WSGIServer(("127.0.0.1", 0), Handler)
    server.set_app(app)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.pem, own.key_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(callers.pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("tell", [as_apache, as_gunicorn])
def test_a_token_bound_to_a_certificate_is_taken_over_that_certificate_alone(
    tmp_path: Path, tell: Tell
) -> None:
    own, authority = make(tmp_path, "own", sans=[HERE]), make(tmp_path, "authority", authority=True)
    mine, other = (make(tmp_path, name, by=authority) for name in ("mine", "other"))

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return [json.dumps({"code": environ["sojourn"].session}).encode()]

    with running_plane() as plane:
        guard = WsgiGuard(app, plane.profile, base=BASE, require={"/": ["stock.read"]})
        guard.thread.start()
        until(lambda: guard.verifier.view.mark is not None, 5)
        token = plane.token(Workload(), key=of_certificate(mine.der))

        with serving(guard, own, authority, tell) as port:

            def heard(shown: Pair | None, **headers: str) -> str:
                context = ssl.create_default_context(cafile=str(own.pem))
                if shown is not None:
                    context.load_cert_chain(shown.pem, shown.key_pem)
                connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
                sent = {"Authorization": f"Bearer {token}", **headers}
                connection.request("GET", "/stock", headers=sent)
                answer = connection.getresponse()
                code = str(json.loads(answer.read())["code"])
                connection.close()
                return code

            codes = [heard(mine), heard(mine), heard(other), heard(None)]
            told = ssl.DER_cert_to_PEM_cert(mine.der).replace("\n", "")
            forged = heard(None, **{"Ssl-Client-Cert": told, "Client-Cert": f":{mine.b64}:"})
        guard.thread.stop()

    assert codes == ["ses_1", "ses_1", "wrong_key", "no_token"]
    assert forged == "no_token", "no header of a request says whose certificate it is"


def test_what_is_no_certificate_is_nobodys() -> None:
    with running_plane() as plane:
        heard: list[str] = []
        guard = WsgiGuard(lambda *_: [b""], plane.profile, base=BASE, require={})
        guard.thread.start()
        until(lambda: guard.verifier.view.mark is not None, 5)
        token = plane.token(Workload(), key=of_certificate(b"mine"))
        for said in ("", "-----BEGIN CERTIFICATE-----", "x", 7):
            shown = {"HTTP_AUTHORIZATION": f"Bearer {token}", "SSL_CLIENT_CERT": said}
            list(guard({"REQUEST_METHOD": "GET", **shown}, lambda status, headers: heard.append(status)))
        guard.thread.stop()

    assert heard == ["401 Unauthorized"] * 4
