"""What the tests with OAuth libraries of others share: discovery, a resource server, npm's library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import requests
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

from tests.rig.system import AUDIENCE, System
from tests.rig.unavailable import tool, unavailable

OTHER: Final = "https://orders.example"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
LIBRARY: Final = "oauth4webapi@3.8.8"
HERE: Final = Path(__file__).parent
_ENDPOINTS: Final = {
    "authorization_endpoint",
    "registration_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
}


def grant_two_apis(system: System, *clients: str) -> None:
    """The charter `demo` for two guarded APIs and two generations of children."""
    system.apply_charter(
        clients=["runner", *clients],
        grants={
            "stock": {"audience": AUDIENCE, "actions": ["stock.read", "stock.write"]},
            "orders": {"audience": OTHER, "actions": ["orders.read"]},
        },
        children={"depth": 2, "fan_out": 4},
    )


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
    """Authlib as the resource server of one API."""

    def __init__(self, metadata: dict[str, Any], audience: str, http: requests.Session | None = None) -> None:
        self.keys = (http or requests.Session()).get(metadata["jwks_uri"], timeout=5).json()
        super().__init__(metadata["issuer"], audience)

    def get_jwks(self) -> Any:
        return self.keys

    def claims(self, token: str) -> dict[str, Any] | None:
        """What a good token says; None for any other."""
        try:
            found = self.authenticate_token(token)
            self.validate_token(found, ["stock.read"], None)
        except InvalidTokenError:
            return None
        return dict(found)

    def accepts(self, token: str) -> bool:
        return self.claims(token) is not None


def discovered(issuer: str, http: requests.Session | None = None) -> dict[str, Any]:
    """The server's metadata, as Authlib validates it."""
    address = f"{issuer}/.well-known/oauth-authorization-server"
    found = (http or requests.Session()).get(address, timeout=5).json()
    metadata = AuthorizationServerMetadata(found)
    if issuer.startswith("https:"):
        metadata.validate()
        return dict(found)
    # Authlib insists on https; this server is on loopback. Everything else is validated.
    for name in set(metadata.REGISTRY_KEYS) - {"issuer", "token_endpoint", "jwks_uri"} - _ENDPOINTS:
        getattr(metadata, f"validate_{name}", lambda: None)()
    assert found["issuer"] == issuer and all(found.values()), "no member is empty"
    return dict(found)


class Library:
    """npm's oauth4webapi, installed once."""

    def __init__(self, folder: Path) -> None:
        self._node, npm = tool("node", package="nodejs"), tool("npm", package="npm")
        got = subprocess.run(
            [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", LIBRARY],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if got.returncode:
            unavailable(f"npm's {LIBRARY}", f"npm could not install it: {got.stderr[-200:]}")
        self._module = folder / "node_modules" / "oauth4webapi" / "build" / "index.js"

    def run(self, script: str, plan: Mapping[str, object]) -> dict[str, Any]:
        """What a script of this folder saw."""
        done = subprocess.run(
            [self._node, str(HERE / script), str(self._module)],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))
