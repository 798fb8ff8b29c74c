"""The socket of a session: proofs are added on the way, and nothing passes when it is over."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sojourn.client.profile import Profile
from sojourn.client.proxy import Proxy
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.client.signing import Es256Key, decode
from tests.cli.control_plane import TOKEN, ControlPlane

SEEN: list[dict[str, str]] = []
OPENED = threading.Event()
NONCES = [""]


class Api(BaseHTTPRequestHandler):
    """An API that tells what it was sent; `/stream` never ends by itself."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Answer, or stream."""
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b"first\n")
            self.wfile.flush()
            OPENED.wait(20)
            return
        self._tell(b"")

    def do_POST(self) -> None:
        """Answer with the body."""
        self._tell(self.rfile.read(int(self.headers["Content-Length"])))

    def _tell(self, body: bytes) -> None:
        SEEN.append({"path": self.path, **dict(self.headers.items())})
        if self.path == "/nonce" and _nonce_of(self.headers["DPoP"]) != NONCES[0]:
            self._want(NONCES[0])
            return
        raw = body or json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _want(self, nonce: str) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'DPoP error="use_dpop_nonce", algs="ES256"')
        self.send_header("DPoP-Nonce", nonce)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _nonce_of(proof: str) -> object:
    return json.loads(decode(proof.split(".")[1])).get("nonce")


@pytest.fixture
def api() -> Iterator[str]:
    """Where the API is."""
    SEEN.clear()
    OPENED.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, args=(0.02,)).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    OPENED.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def live(api: str) -> Iterator[LiveSession]:
    """A session with a token for the API."""
    plane, key = ControlPlane(), Es256Key.generate()
    plane.grants = [{"name": "orders", "audience": api, "actions": ["read"]}]
    plane.enrol("cli_w", "workload", dict(key.public_jwk))
    yield open_session(Profile(plane.issuer, "cli_w", "w", "workload", key), Wish("demo", "1"))
    plane.close()
    assert plane.wrong == []


@pytest.fixture
def path(live: LiveSession, tmp_path: Path) -> Iterator[Path]:
    """The socket of a proxy that answers."""
    proxy = Proxy(tmp_path / "api.sock", live, {})
    proxy.start()
    yield tmp_path / "api.sock"
    proxy.stop()


def ask(
    path: Path, method: str, target: str, *, host: str = "orders", body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(path))
    connection.request(method, target, body, {"Authorization": "Bearer mine", "DPoP": "mine", "X-Own": "1"})
    response = connection.getresponse()
    answered = response.status, response.read()
    connection.close()
    return answered


def test_token_and_proof_are_added_and_the_childs_own_are_not_passed_on(path: Path, api: str) -> None:
    status, body = ask(path, "GET", "/v1/orders?limit=2")

    assert (status, json.loads(body)) == (200, {"path": "/v1/orders?limit=2"})
    assert SEEN[0]["Authorization"] == f"DPoP {TOKEN}"
    assert SEEN[0]["DPoP"].count(".") == 2
    assert SEEN[0]["Host"] == api.removeprefix("http://")
    assert SEEN[0]["X-Own"] == "1"


def test_a_body_is_passed_on_byte_for_byte(path: Path) -> None:
    body = bytes(range(256)) * 1000

    assert ask(path, "POST", "/v1/orders", body=body) == (200, body)


@pytest.mark.parametrize("size", [0, 5000, (1 << 20) + 1])
def test_a_nonce_that_an_api_wants_is_put_into_the_proof_and_kept(path: Path, size: int) -> None:
    method, body = ("POST", b"b" * size) if size else ("GET", None)
    NONCES[0] = f"nonce-{size}"

    first, second = (ask(path, method, "/nonce", body=body) for _ in range(2))

    whole = body or json.dumps({"path": "/nonce"}).encode()
    # What is too long to be kept is not sent twice: the child hears of it, and its next request is right.
    assert first == ((200, whole) if size <= 1 << 20 else (401, b""))
    assert second == (200, whole)
    assert len(SEEN) == (3 if size <= 1 << 20 else 2)
    assert len({one["DPoP"] for one in SEEN}) == len(SEEN), "each proof is sent once"


def test_an_audience_is_found_by_its_own_host_too(path: Path, api: str) -> None:
    assert ask(path, "GET", "/", host=api.removeprefix("http://"))[0] == 200


def test_a_host_without_a_grant_is_refused(path: Path) -> None:
    status, body = ask(path, "GET", "/", host="payments")

    assert (status, json.loads(body)["code"]) == (404, "no_such_api")
    assert SEEN == []


def test_nothing_passes_once_the_session_is_over(path: Path, live: LiveSession) -> None:
    live.mark_over()

    status, body = ask(path, "GET", "/")

    assert (status, json.loads(body)["code"]) == (403, "session_not_live")
    assert SEEN == []


def test_a_body_of_unknown_length_is_refused(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(path))
    sock.sendall(
        b"POST / HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
    )

    answer = b""
    while piece := sock.recv(65536):
        answer += piece

    assert answer.startswith(b"HTTP/1.1 403") and b"length_required" in answer
    assert SEEN == []


def test_an_open_stream_is_cut_when_the_session_ends(live: LiveSession, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "s.sock", live, {})
    proxy.start()
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(str(tmp_path / "s.sock"))
    sock.sendall(b"GET /stream HTTP/1.1\r\nHost: orders\r\n\r\n")
    got = b""
    while b"first" not in got:
        got += sock.recv(4096)

    live.mark_over()
    proxy.cut()

    rest = b""
    while piece := sock.recv(4096):
        rest += piece
    assert b"0\r\n\r\n" not in rest  # cut, not ended
    proxy.stop()


def test_the_session_itself_can_be_asked_and_completed(path: Path, live: LiveSession) -> None:
    status, body = ask(path, "GET", "/session", host="sojourn.local")
    done, _ = ask(path, "POST", "/complete", host="sojourn.local")

    assert (status, json.loads(body)["id"], done) == (200, live.id, 200)
    assert not live.live
