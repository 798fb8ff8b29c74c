"""The whole system as it is deployed: a control plane in a process of its own, everyone enrolled.

Everything goes over HTTP with the client library; nothing reaches into the server. The target
is a database of its own on a real PostgreSQL. What the server wrote is printed at the end, so
that pytest shows it when the test has failed.
"""

from __future__ import annotations

import json
import secrets
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from sojourn.client.caller import ClientCaller, send_json
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import Json, members, text
from sojourn.client.profile import Profile, save_profile
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.client.signing import Es256Key, sign_proof
from sojourn.client.tls import ClientTls
from sojourn.client.transport import Transport
from sojourn.client.views import SessionView, read_session
from tests.rig.certificates import Pair
from tests.rig.postgres import PostgresServer
from tests.rig.program import Program, free_port

OWNER: Final = "team-shop"
TARGET: Final = "shop"
AUDIENCE: Final = "https://stock.example"
DATABASE_GRANT: Final = "shop-readonly"
API_GRANT: Final = "stock"
ACTION: Final = "stock.read"

_SHOP: Final = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL);
INSERT INTO shop.orders (item) VALUES ('apples'), ('pears'), ('quinces');
GRANT CONNECT ON DATABASE "{name}" TO "{name}" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA shop TO "{name}" WITH GRANT OPTION;
GRANT SELECT, INSERT ON shop.orders TO "{name}" WITH GRANT OPTION;
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a system is set up; `settings` are members of `sojourn.config.Settings`, in seconds."""

    store: Literal["sqlite", "postgresql"] = "sqlite"
    settings: Mapping[str, float] = field(default_factory=dict)
    public_port: int | None = None  # where the issuer is told to be, when a proxy stands before it
    beat: Mapping[str, object] = field(default_factory=lambda: {"every": "60s", "missed_after": "300s"})
    longest: str = "30m"
    tables: str = ""  # more of the server's file, such as its issuers
    tls: tuple[Pair, Pair] | None = None  # its own certificate, and the authority of its callers'


class System:
    """A control plane, an operator, a workload, a target and a charter."""

    def __init__(self, postgres: PostgresServer, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.postgres = postgres
        self.place = Path(tempfile.mkdtemp(prefix="sojourn-system-"))
        self.port = free_port()
        self.address = f"{'https' if self.plan.tls else 'http'}://127.0.0.1:{self.port}"
        self.issuer = f"http://127.0.0.1:{self.plan.public_port}" if self.plan.public_port else self.address
        self.database = f"shop_{secrets.token_hex(4)}"
        self.transport = _Reaching(self.issuer, self.address, self.plan.tls)
        self.program = Program(self._command(), self.place / "server.log")
        self.clock = EdgeClock()
        self.operator: ClientCaller
        self.workload: Profile

    def start(self) -> None:
        """Start the server; returns when it is ready."""
        self.program.start()
        self.program.wait_for(f"{self.address}/readyz")

    def kill(self) -> None:
        """End the server as a crash does."""
        self.program.kill()

    def restart(self) -> None:
        """Crash and start again."""
        self.kill()
        self.start()

    def enrol(self) -> None:
        """Make the operator, the target, the workload and the charter."""
        self.operator = self.caller(self._login())
        self._add_target()
        self.workload = self.add_client("runner", "workload")
        self.apply_charter()

    def caller(self, profile: Profile) -> ClientCaller:
        """Asks the server as this client."""
        return ClientCaller(self.transport, profile, self.clock)

    def add_client(
        self, name: str, role: Literal["workload", "guard", "operator"], *, audience: str | None = None
    ) -> Profile:
        """Register a client whose key is made here; its profile is `place/NAME.json`."""
        key = Es256Key.generate()
        body = {"name": name, "role": role, "owner": OWNER, "jwk": dict(key.public_jwk)}
        body |= {"audience": audience} if audience else {}
        answer = self.operator.ask("POST", "/v1/clients", body).json()
        profile = Profile(self.issuer, text(answer, "id"), name, role, key)
        save_profile(self.profile_path(name), profile)
        return profile

    def add_guard(self, name: str) -> Path:
        """Register a guard before the stock API; the path of its profile."""
        self.add_client(name, "guard", audience=AUDIENCE)
        path = self.profile_path(name)
        written = json.loads(path.read_text())
        path.write_text(json.dumps({**written, "audience": AUDIENCE}))  # the mode stays
        return path

    def profile_path(self, name: str) -> Path:
        """Where the profile of a client is kept."""
        return self.place / f"{name}.json"

    def apply_charter(self, **changes: object) -> None:
        """Apply the charter `demo`, with other members if given."""
        charter: dict[str, object] = {
            "name": "demo",
            "owner": OWNER,
            "clients": ["runner"],
            "grants": {
                DATABASE_GRANT: {"target": TARGET, "template": "readonly"},
                API_GRANT: {"audience": AUDIENCE, "actions": [ACTION]},
            },
            "duration": {"default": "10m", "longest": self.plan.longest},
            "beat": dict(self.plan.beat),
            "renewals": {"times": 0, "by": "2m"},
        }
        self.operator.ask("PUT", "/v1/charters", {**charter, **changes})

    def open(self, ref: str = "1", *, grants: Sequence[str] | None = None) -> LiveSession:
        """Open a session of the workload, with all grants of the charter unless told otherwise."""
        return open_session(self.workload, Wish("demo", ref, grants), transport=self.transport)

    def end(self, session: str) -> SessionView:
        """Kill a session as the operator; returns once it is refused everywhere we answer for."""
        return read_session(self.operator.ask("POST", f"/v1/sessions/{session}/kill", {}).json())

    def look(self, session: str, *, until_ended_s: int = 0) -> SessionView:
        """Read a session as the operator; wait for its end if told to."""
        query = f"?until=ended&wait_s={until_ended_s}" if until_ended_s else ""
        asked = self.operator.ask("GET", f"/v1/sessions/{session}{query}", wait_s=until_ended_s)
        return read_session(asked.json())

    def leases(self, session: str) -> tuple[Json, ...]:
        """The leases of a session, as the operator sees them."""
        return members(self.operator.ask("GET", f"/v1/sessions/{session}/leases").json(), "leases")

    def roles(self) -> list[str]:
        """The credentials of this system that its target holds, asked as the superuser."""
        deployment = (self.place / "state" / "deployment").read_text().strip()
        query = f"select rolname from pg_roles where starts_with(rolname, 'sj_{deployment}_') order by 1"
        return self.postgres.sql(query).split()

    def close(self) -> None:
        """Stop, show what was written, delete everything."""
        self.program.stop()
        print(f"-- the control plane\n{self.program.words()}")
        shutil.rmtree(self.place, ignore_errors=True)

    def _command(self) -> list[str]:
        config = self.place / "sojourn.toml"
        members_of = {"issuer": self.issuer, "state": str(self.place / "state")}
        members_of["listen"] = f"127.0.0.1:{self.port}"
        if self.plan.store == "postgresql":
            name = f"store_{secrets.token_hex(4)}"
            self.postgres.sql(f'CREATE DATABASE "{name}"')
            _write_private(self.place / "dsn", self.postgres.dsn(name))
            members_of["database_dsn_file"] = str(self.place / "dsn")
        if self.plan.tls is not None:
            server, authority = self.plan.tls
            members_of |= {"certificate": str(server.pem), "key": str(server.key_pem)}
            members_of["client_authorities"] = str(authority.pem)
        written = "".join(f"{name} = {json.dumps(value)}\n" for name, value in members_of.items())
        config.write_text(written + self.plan.tables)
        bent = json.dumps(dict(self.plan.settings))
        return [sys.executable, "-m", "tests.rig.control_plane_main", str(config), bent]

    def _login(self) -> Profile:
        link = (self.place / "state" / "invitation").read_text().strip()
        key = Es256Key.generate()
        body = {"link": urlsplit(link).fragment, "name": "ada", "jwk": dict(key.public_jwk)}
        url, jti = self.transport.url("/v1/login"), secrets.token_urlsafe(16)
        proof = sign_proof(key, "POST", url, self.clock.now(), jti=jti)
        told = send_json(self.transport, "POST", "/v1/login", body, headers={"DPoP": proof}).json()
        return Profile(self.issuer, text(told, "client_id"), "ada", "operator", key)

    def _add_target(self) -> None:
        name, word = self.database, secrets.token_urlsafe(18)
        self.postgres.sql(f"CREATE ROLE \"{name}\" LOGIN CREATEROLE PASSWORD '{word}'")
        self.postgres.sql(f'GRANT pg_signal_backend TO "{name}"')
        self.postgres.sql(f'CREATE DATABASE "{name}"')
        self.postgres.sql(_SHOP.format(name=name), name)
        template = {
            "database": name,
            "schemas": {"shop": {"privileges": ["USAGE"]}},
            "tables": [{"schema": "shop", "name": "orders", "privileges": ["SELECT"]}],
            "connection_limit": 5,
        }
        body = {
            "name": TARGET,
            "provider": "postgresql",
            "settings": {},
            "templates": {"readonly": template},
            "secret": self.postgres.dsn(name, user=name, password=word),
        }
        self.operator.ask("POST", "/v1/targets", body)
        checks = members(
            self.operator.ask("POST", f"/v1/targets/{TARGET}/preflight", {}, wait_s=45).json(), "checks"
        )
        assert all(c.get("ok") for c in checks), checks


class _Reaching(Transport):
    """Speaks of `issuer` in its proofs, and goes to `address`: around the proxy, if there is one."""

    def __init__(self, issuer: str, address: str, tls: tuple[Pair, Pair] | None) -> None:
        super().__init__(issuer, tls=None if tls is None else Trusting(tls[0]))
        self._parts = urlsplit(address)


class Trusting(ClientTls):
    """Knows the server's certificate, and shows none."""

    def __init__(self, server: Pair) -> None:
        super().__init__(server.pem.parent)
        self._trusted = ssl.create_default_context(cafile=str(server.pem))

    def context(self) -> ssl.SSLContext:
        return self._trusted


@contextmanager
def running(postgres: PostgresServer, plan: Plan | None = None) -> Iterator[System]:
    """A system that is up and enrolled, and gone afterwards."""
    system = System(postgres, plan)
    try:
        system.start()
        system.enrol()
        yield system
    finally:
        system.close()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for targets and stores, gone afterwards."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)
