"""A control plane in a thread: the wire contract with real HTTP and real JOSE checks, no store.

What it says is scripted by the test (`sessions`, `fail_beats`, …); what it is sent is checked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey

from sojourn.core.window import show

SECRET = "canary-secret-5f1e:with\\odd"
TOKEN = "canary-access-token-77aa"


class ControlPlane:
    """Serves on a loopback port until closed."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.clients: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        self.seen: list[tuple[str, str, float]] = []
        self.grants: list[dict[str, Any]] = [{"name": "shop", "target": "shop", "template": "ro"}]
        self.every_s, self.missed_after_s, self.window_s = 1.0, 2.0, 60.0
        self.fail_beats = False
        self.lose_next_open = False
        self.wrong: list[str] = []
        self._jtis: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True, args=(0.02,)).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def enrol(self, client_id: str, role: str, jwk: dict[str, str]) -> None:
        """Register a client."""
        self.clients[client_id] = {"id": client_id, "role": role, "jwk": jwk, "name": role, "owner": "team"}

    def end(self, sid: str, reason: str, *, at: str = "ended") -> None:
        """End a session, as the server would."""
        now = show(datetime.now(UTC))
        session = self.sessions[sid]
        if session["state"] in ("ended", "revoking"):
            return
        cause = {"reason": reason, "source": "test", "detail": ""}
        session.update(state=at, refused_at=now, ended_at=now if at == "ended" else None, cause=cause)

    def only(self) -> dict[str, Any]:
        """The one session there is."""
        (session,) = self.sessions.values()
        return session

    def wait_for(self, what: str, *, seconds: float = 10.0) -> None:
        """Until a request `METHOD path-pattern` came."""
        deadline = time.monotonic() + seconds
        while not any(re.fullmatch(what, f"{m} {p}") for m, p, _ in list(self.seen)):
            assert time.monotonic() < deadline, f"no request {what} came"
            time.sleep(0.01)

    def check_proof(self, handler: BaseHTTPRequestHandler, token: str | None = None) -> str:
        """The thumbprint of the key whose proof came with the request; raises `ValueError`."""
        (proof,) = handler.headers.get_all("DPoP", [])
        head = json.loads(_b64(proof.split(".")[0]))
        key = ECKey.import_key(head["jwk"])
        assert head["typ"] == "dpop+jwt" and head["alg"] == "ES256" and "d" not in head["jwk"]
        claims = json.loads(jws.deserialize_compact(proof, key, algorithms=["ES256"]).payload)
        assert claims["htm"] == handler.command
        assert claims["htu"] == self.issuer + urlsplit(handler.path).path, claims["htu"]
        assert -60 <= claims["iat"] - time.time() <= 10
        assert claims["jti"] not in self._jtis
        self._jtis.add(claims["jti"])
        if token is not None:
            assert claims["ath"] == _sha(token)
        return key.thumbprint()

    def check_assertion(self, assertion: str) -> str:
        """The client whose assertion it is."""
        body = json.loads(_b64(assertion.split(".")[1]))
        key = ECKey.import_key(self.clients[body["sub"]]["jwk"])
        token = jws.deserialize_compact(assertion, key, algorithms=["ES256"])
        assert token.headers()["typ"] == "client-authentication+jwt"
        assert body["iss"] == body["sub"] and body["aud"] == self.issuer
        assert 0 < body["exp"] - time.time() <= 120 and body["jti"] not in self._jtis
        self._jtis.add(body["jti"])
        return str(body["sub"])


class Problem(Exception):
    """An answer that is a problem."""

    def __init__(self, status: int, code: str, **more: str) -> None:
        self.status, self.code, self.more = status, code, more


def _handler(plane: ControlPlane) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            plane.seen.append((self.command, path, time.monotonic()))
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, value = _route(plane, self, raw)
            except Problem as problem:
                status = problem.status
                value = {"code": problem.code, "title": problem.code, "detail": problem.code, **problem.more}
            except ConnectionAbortedError:
                self.close_connection = True
                return
            except (AssertionError, ValueError, KeyError) as error:
                plane.wrong.append(f"{self.command} {path}: {error!r}")
                status, value = 401, {"code": "bad_proof", "title": "bad_proof", "detail": repr(error)}
            out = value if isinstance(value, bytes) else json.dumps(value).encode()
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)

    return Handler


def _route(plane: ControlPlane, handler: BaseHTTPRequestHandler, raw: bytes) -> tuple[int, Any]:
    path, method = urlsplit(handler.path).path, handler.command
    if path == "/oauth2/token":
        form = parse_qs(raw.decode())
        client = plane.check_assertion(form["client_assertion"][0])
        assert plane.check_proof(handler) == _thumbprint(plane.clients[client]["jwk"])
        return 200, {"access_token": f"at-{client}", "token_type": "DPoP", "expires_in": 300, "scope": "x"}
    if path == "/.well-known/sojourn":
        feed = {"period_s": 1, "deaf_after_s": 5}
        told = {"issuer": plane.issuer, "log_vkey": "log+1+k", "log_origin": "log", "feed": feed}
        return 200, {**told, "server_time": _now()}
    if path == "/readyz":
        return 200, {"status": "ready", "mode": "normal"}
    body = json.loads(raw) if raw else {}
    if path == "/v1/sessions" and method == "POST":
        return _open(plane, handler, body)
    if found := re.fullmatch(r"/v1/sessions/(ses_\w+)(/\w+)?", path):
        return _session(plane, handler, found[1], found[2] or "")
    if path == "/v1/login":
        jkt = plane.check_proof(handler)
        assert jkt == _thumbprint(body["jwk"]) and "d" not in body["jwk"]
        if body["link"] != "invitation-1":
            raise Problem(403, "bad_invitation")
        plane.enrol("cli_new", "operator", body["jwk"])
        return 201, {
            "client_id": "cli_new",
            "name": body.get("name", "op"),
            "role": "operator",
            "issuer": plane.issuer,
        }
    _check_client(plane, handler)
    return _operator(plane, method, path, body)


def _operator(plane: ControlPlane, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    check = {"name": "canary", "ok": body.get("x") is None, "took_ms": 1.5, "detail": "made", "mend": ""}
    match method, path:
        case "GET", "/v1/sessions":
            return 200, {"sessions": list(plane.sessions.values()), "next": None}
        case "GET", "/v1/clients":
            return 200, {"clients": list(plane.clients.values())}
        case "POST", "/v1/clients":
            assert "d" not in body["jwk"]
            plane.enrol("cli_made", body["role"], body["jwk"])
            return 201, {"id": "cli_made", **body}
        case "PUT", "/v1/charters":
            return 200, {"name": body["name"], "number": 1, "changed": True}
        case "GET", "/v1/charters":
            return 200, {"charters": []}
        case "POST", "/v1/targets":
            return 201, {"name": body["name"], "provider": body["provider"]}
        case "GET", "/v1/targets":
            return 200, {"targets": [{"name": "shop", "provider": "postgresql", "state": "live"}]}
        case "POST", "/v1/targets/shop/preflight":
            return 200, {"target": "shop", "checks": [check]}
        case "POST", "/v1/targets/broken/preflight":
            bad = {**check, "ok": False, "mend": "grant CREATEROLE"}
            return 200, {"target": "broken", "checks": [check, bad]}
        case (("GET" | "POST"), "/v1/reconcile"):
            return 200, {"sessions": [], "more": False}
        case "GET", "/v1/targets/shop/reconcile":
            return 200, {
                "unknown": [],
                "missing": [],
                "known": 0,
                "due": [],
                "waiting": False,
                "destroyed": [],
            }
        case _:
            raise Problem(404, "not_found")


def _check_client(plane: ControlPlane, handler: BaseHTTPRequestHandler) -> str:
    given = handler.headers.get("Authorization", "").removeprefix("DPoP ")
    client = given.removeprefix("at-")
    assert plane.check_proof(handler, given) == _thumbprint(plane.clients[client]["jwk"])
    return client


def _open(plane: ControlPlane, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> tuple[int, Any]:
    client = plane.check_assertion(body["evidence"]["assertion"])
    key, name = plane.check_proof(handler), handler.headers["Idempotency-Key"]
    if body["task"]["kind"] == "forbidden":
        raise Problem(403, "no_charter")
    if name in plane.names:
        return 200, {"session": plane.sessions[plane.names[name]], "secret_spent": True}
    sid = f"ses_{len(plane.sessions) + 1:026d}"
    now = datetime.now(UTC)
    plane.names[name], plane.keys[sid] = sid, key
    window = {"opens": show(now), "closes": show(now + timedelta(seconds=plane.window_s))}
    beat = {
        "every_s": plane.every_s,
        "missed_after_s": plane.missed_after_s,
        "suspend_first": False,
        "evidence": "key",
    }
    plane.sessions[sid] = {
        "id": sid, "state": "active", "client": client,
        "owner": "team", "task": body["task"], "charter": "demo@1",
        "grants": plane.grants, "window": window,
        "last_end": show(now), "generation": 0, "renewals_left": 0, "key": key, "context": {},
        "beat": beat,
        "requested_at": show(now), "refused_at": None, "ended_at": None, "cause": None,
    }  # fmt: skip
    if plane.lose_next_open:
        plane.lose_next_open = False
        raise ConnectionAbortedError
    connection = {
        "host": "127.0.0.1",
        "port": "5999",
        "user": "sj_x",
        "database": "shop",
        "sslmode": "disable",
    }
    credential = {"grant": "shop", "target": "shop", "provider": "postgresql", "connection": connection}
    return 201, {**_heard(plane, sid), "credentials": [{**credential, "secret": SECRET}]}


def _heard(plane: ControlPlane, sid: str) -> dict[str, Any]:
    audiences = [g["audience"] for g in plane.grants if "audience" in g]
    closes = plane.sessions[sid]["window"]["closes"]
    tokens = [{"audience": a, "access_token": TOKEN, "expires_at": closes, "scope": "x"} for a in audiences]
    return {
        "session": plane.sessions[sid],
        "tokens": tokens,
        "server_time": _now(),
        "beat_every_s": plane.every_s,
    }


def _session(plane: ControlPlane, handler: BaseHTTPRequestHandler, sid: str, rest: str) -> tuple[int, Any]:
    session = plane.sessions.get(sid)
    if session is None:
        raise Problem(404, "no_such_session")
    if handler.headers.get("Authorization"):
        _check_client(plane, handler)
    else:
        assert plane.check_proof(handler) == plane.keys[sid]
    match rest:
        case "/beat":
            if plane.fail_beats:
                raise Problem(503, "store_away")
            if session["state"] in ("revoking", "ended"):
                raise Problem(403, "session_ended", reason=session["cause"]["reason"])
            return 200, _heard(plane, sid)
        case "/complete" | "/kill":
            plane.end(sid, "completed" if rest == "/complete" else "killed")
            return 200, session
        case "/suspend":
            session["state"] = "suspended"
            return 200, session
        case "/narrow":
            return 200, {"session": session, "tokens": []}
        case "/leases":
            lease = {"id": "lea_1", "session": sid, "state": "destroyed", "target": "shop", "grant": "shop"}
            times = {
                "refused_at": session["refused_at"],
                "destroyed_at": session["ended_at"],
                "method": "by OID",
            }
            return 200, {"leases": [{**lease, **times, "handle": "sj_x", "residual": None}]}
        case "/evidence":
            return 200, b"a bundle\n"
        case _:
            return 200, session


def _now() -> str:
    return show(datetime.now(UTC))


def _thumbprint(jwk: dict[str, str | list[str]]) -> str:
    return ECKey.import_key(jwk).thumbprint()


def _sha(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
