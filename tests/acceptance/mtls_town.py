"""A server that speaks TLS, an authority, and clients that have nothing but certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
from authlib.integrations.requests_client import OAuth2Session

from sojourn.client.jsonfacts import text
from tests.acceptance.oauth_libraries import grant_two_apis
from tests.rig.certificates import HERE, Pair, make
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import AUDIENCE, OWNER, Plan, System, running

METHODS: Final = ("tls_client_auth", "self_signed_tls_client_auth")


@dataclass
class Town:
    """A server that speaks TLS, an authority, and clients that have nothing but certificates."""

    system: System
    folder: Path
    server: Pair
    authority: Pair
    parties: dict[tuple[str, str], Party] = field(default_factory=dict)

    def http(self, shown: Pair | None = None) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # or a variable would say whose word on servers counts
        session.verify = str(self.server.pem)
        session.cert = None if shown is None else (str(shown.pem), str(shown.key_pem))
        return session

    def enrol(self, method: str, name: str, role: str = "workload") -> None:
        by = self.authority if method == METHODS[0] else None
        shown = make(self.folder, f"{method}-{name}", by=by)
        rule = {"subject_dn": shown.dn} if by else {"self_signed": shown.b64}
        body: dict[str, object] = {"name": f"{method}-{name}", "role": role, "owner": OWNER}
        body |= {"certificate": rule} | ({"audience": AUDIENCE} if role == "guard" else {})
        told = self.system.operator.ask("POST", "/v1/clients", body).json()
        self.parties[name, method] = Party(self, text(told, "id"), shown)


@dataclass
class Party:
    """A registered client, or a thief who names one, and what its connections show."""

    town: Town
    client_id: str
    shown: Pair

    def http(self) -> OAuth2Session:
        """Authlib's session: `client_id` in the form, the certificate on the connection."""
        session = OAuth2Session(
            self.client_id, token_endpoint_auth_method="none", revocation_endpoint_auth_method="none"
        )
        session.trust_env, session.verify = False, str(self.town.server.pem)
        session.cert = (str(self.shown.pem), str(self.shown.key_pem))
        return session

    def token(self, url: str, **form: str) -> dict[str, Any]:
        return dict(self.http().fetch_token(url, **form))

    def inspected(self, url: str, token: dict[str, Any]) -> dict[str, Any]:
        return dict(self.http().introspect_token(url, token["access_token"]).json())

    def is_let_through(self) -> bool:
        try:
            return self.town.http(self.shown).get(f"{self.town.system.issuer}/healthz", timeout=5).ok
        except requests.exceptions.RequestException:
            return False

    def files(self) -> dict[str, str]:
        return {"client_id": self.client_id, "pem": str(self.shown.pem), "key": str(self.shown.key_pem)}


@contextmanager
def mtls_town(postgres: PostgresServer, folder: Path) -> Iterator[Town]:
    """Its charter grants two guarded APIs to each workload."""
    server = make(folder, "server", sans=[HERE], authority=True)
    authority = make(folder, "authority", authority=True)
    with running(postgres, Plan(tls=(server, authority))) as system:
        grant_two_apis(system, *(f"{method}-{name}" for method in METHODS for name in ("py", "js")))
        made = Town(system, folder, server, authority)
        for method in METHODS:
            for name in ("py", "js"):
                made.enrol(method, name)
                made.enrol(method, f"{name}-guard", "guard")
        # TLS hears of a self-signed certificate within 2 s.
        until(lambda: all(one.is_let_through() for one in made.parties.values()), within_s=15)
        yield made
