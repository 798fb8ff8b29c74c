"""A whole life of a deployment, every secret of which is known; what it left behind, by place."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sojourn.adapters.file_keys import signing_vault
from sojourn.adapters.key_pairs import PrivateKey, from_octets
from sojourn.client.caller import ClientCaller
from sojourn.client.session import LiveSession
from sojourn.client.signing import Es256Key, decode
from tests.acceptance.books import GRANT, grant_books, new_books
from tests.acceptance.canaries import Canaries, every_process
from tests.acceptance.hostile import refusals
from tests.acceptance.login import lets_in
from tests.acceptance.shell import shell
from tests.cli.command import Sojourn, read_pid
from tests.rig.poll import until
from tests.rig.postgres import BINARIES, ROOT_USER
from tests.rig.system import API_GRANT, AUDIENCE, System

PUBLIC = ("/metrics", "/openapi.json", "/healthz", "/readyz", "/log/checkpoint", "/oauth2/jwks")


@dataclass
class Life:
    """What happened, where it left traces, and what must not be in them."""

    system: System
    canaries: Canaries = field(default_factory=Canaries)
    places: dict[str, bytes] = field(default_factory=dict)
    processes: dict[str, bytes] = field(default_factory=dict)
    told_child: bytes = b""  # the environment of the one command that asked for its password
    session: str = ""

    def under(self, prefix: str) -> dict[str, bytes]:
        """The places of one kind."""
        found = {name: content for name, content in self.places.items() if name.startswith(prefix)}
        assert found, f"nothing was kept of {prefix}"
        return found


def live(system: System) -> Life:
    """Live it from the first login to the evidence."""
    life = Life(system)
    system.start()
    link = (system.place / "state" / "invitation").read_text().strip()
    life.canaries.add("login link", urlsplit(link).fragment)
    system.enrol()
    _keep_keys(life)
    _add_target(life)
    session = _work(life)
    with shell(system) as sojourn:
        _command(life, sojourn)
        _run(life, sojourn)
    _evidence(life, session)
    life.places |= {f"refusal: {name}": body for name, body in refusals(system, life.canaries).items()}
    _public(life)
    _server(life)
    return life


def _keep_keys(life: Life) -> None:
    keys, canaries = life.system.place / "state" / "keys", life.canaries
    for kid, private in _unsealed(life.system):
        scalar = isinstance(private, EllipticCurvePrivateKey) and private.private_numbers().private_value
        raw = scalar.to_bytes(32, "big") if scalar else private_bytes(private)
        canaries.add(f"signing key {kid}", raw)
    canaries.add("sealing key", (keys / "sealing.key").read_bytes())
    canaries.add("key of our keys", (keys / "signing.key").read_bytes())
    canaries.add("operator's key", private_half(life.system.operator._profile.key))
    canaries.add("workload's key", private_half(life.system.workload.key))
    canaries.add("superuser's password", life.system.postgres.password)


def _unsealed(system: System) -> list[tuple[str, PrivateKey]]:
    """The private halves of the keys that sign now or next."""
    sealer = signing_vault(system.place / "state" / "keys")._sealer
    rows = _sealed(system)
    assert len(rows) >= 4
    return [(name, from_octets(sealer.unseal(name, sealed))) for name, sealed in rows]


def _sealed(system: System) -> list[tuple[str, bytes]]:
    """What is sealed in whichever database it has."""
    query = "SELECT name, ciphertext FROM sealed WHERE name LIKE 'key:%'"
    if system.plan.store == "postgresql":
        database = urlsplit((system.place / "dsn").read_text()).path.lstrip("/")
        told = system.postgres.sql(query.replace("ciphertext", "encode(ciphertext, 'hex')"), database)
        rows = [line.partition("|") for line in told.splitlines()]
        return [(name, bytes.fromhex(sealed)) for name, _, sealed in rows]
    with closing(sqlite3.connect(system.place / "state" / "sojourn.sqlite3")) as store:
        return store.execute(query).fetchall()


def private_bytes(private: PrivateKey) -> bytes:
    """What an Ed25519 key is made of."""
    assert isinstance(private, Ed25519PrivateKey)
    return private.private_bytes_raw()


def private_half(key: Es256Key) -> bytes:
    """The scalar that nobody may see."""
    return decode(json.loads(key.private_jwk().reveal())["d"])


def _add_target(life: Life) -> None:
    books = new_books(life.system)
    life.canaries.add("admin's password", books.word)
    books.prepare()
    books.add()
    books.preflight()
    grant_books(life.system, beat={"every": "2s", "missed_after": "6s"})


def _work(life: Life) -> LiveSession:
    """Open, use, beat, suspend, resume, kill; a guard listens."""
    system = life.system
    guard = system.caller(system.add_client("listener", "guard", audience=AUDIENCE))
    session = system.open("life", grants=[GRANT, API_GRANT])
    life.session = session.id
    _watch(life, session, "first")
    assert lets_in(session.credentials[0])
    session.beat()
    _watch(life, session, "after a beat")
    system.operator.ask("POST", f"/v1/sessions/{session.id}/suspend", {"detail": "a test"})
    until(lambda: {lease["state"] for lease in system.leases(session.id)} == {"frozen"})
    session.resume()
    _watch(life, session, "after a resume")
    assert lets_in(session.credentials[0])
    life.places["answer: feed"] = guard.ask("POST", "/v1/feed", {"mark": None}, wait_s=5).body
    system.end(session.id)
    assert system.look(session.id, until_ended_s=20).state == "ended"
    for name, caller in (("operator", system.operator), ("guard", guard)):
        _watch_token(life, name, caller)
    return session


def _watch(life: Life, session: LiveSession, when: str) -> None:
    token = session.token_for(AUDIENCE)
    assert token is not None
    life.canaries.add(f"access token {when}", token.token.reveal())
    life.canaries.add(f"its signature {when}", token.token.reveal().rpartition(".")[2])
    life.canaries.add(f"password {when}", session.credentials[0].secret.reveal())
    life.canaries.add("session key", private_half(session.key))


def _watch_token(life: Life, name: str, caller: ClientCaller) -> None:
    assert caller._token is not None
    life.canaries.add(f"token of the {name}", caller._token[0].reveal())
    life.canaries.add(f"signature of the {name}'s token", caller._token[0].reveal().rpartition(".")[2])


def _command(life: Life, sojourn: Sojourn) -> None:
    for words in (f"session show {life.session}", "session ls --json", "target show books", "doctor"):
        done = sojourn(*words.split())
        assert done.stdout, done.stderr
        life.places[f"command: {words}"] = (done.stdout + done.stderr).encode()


def _run(life: Life, sojourn: Sojourn) -> None:
    """Two commands in sessions of their own: what they are told, and what stands in `/proc` meanwhile."""
    runs = [Run(life.system.place, "plain", ()), Run(life.system.place, "asking", ("--env",))]
    for run in runs:
        run.start(sojourn)
    for run in runs:
        life.canaries.add(f"password of {run.name}", run.password())
    seen = every_process()
    for run in runs:
        assert f"environ of {run.child}" in seen and f"cmdline of {run.wrapper.pid}" in seen
    asking = runs[1]
    life.told_child = seen.pop(f"environ of {asking.child}")  # it asked for its password there
    life.processes |= seen
    for run in runs:
        life.places[f"command: run {run.name}"] = run.finish()


@dataclass
class Run:
    """One command under `sojourn run`, which waits until it is let go."""

    place: Path
    name: str
    options: tuple[str, ...]
    child: int = 0

    def start(self, sojourn: Sojourn) -> None:
        """Begin; its shell writes its pid, and waits without starting anything that inherits from it."""
        ready, go = self.place / f"{self.name}-ready", self.place / f"{self.name}-go"
        os.mkfifo(go)
        script = f'psql -Atc "select 7"; echo $$ > {ready}; read -r word < {go}'
        words = ("run", "--task", "demo:run", "--grant", GRANT, *self.options, "--", "sh", "-c", script)
        self.wrapper = sojourn.start(*words)
        self.child = read_pid(ready)

    def password(self) -> str:
        """What the command finds in its pgpass; no character of it needs an escape there."""
        pairs = Path(f"/proc/{self.child}/environ").read_text().split("\0")
        told = dict(pair.partition("=")[::2] for pair in pairs)
        return (Path(told["SOJOURN_DIR"]) / "pgpass").read_text().strip().rpartition(":")[2]

    def finish(self) -> bytes:
        """Let it go; all it wrote, and the wrapper, too."""
        (self.place / f"{self.name}-go").write_text("go\n")
        said, complained = self.wrapper.communicate(timeout=40)
        assert self.wrapper.returncode == 0 and "7" in said, complained
        return (said + complained).encode()


def _evidence(life: Life, session: LiveSession) -> None:
    system = life.system
    life.places["bundle"] = _bundle(system, session.id)
    life.places["answer: sessions"] = system.operator.ask("GET", "/v1/sessions").body
    life.places["answer: leases"] = system.operator.ask("GET", f"/v1/sessions/{session.id}/leases").body
    life.places["answer: targets"] = system.operator.ask("GET", "/v1/targets").body
    life.places["answer: clients"] = system.operator.ask("GET", "/v1/clients").body


def _bundle(system: System, session: str) -> bytes:
    return system.operator.ask("GET", f"/v1/sessions/{session}/evidence").body


def _public(life: Life) -> None:
    for path in PUBLIC:
        with urlopen(f"{life.system.issuer}{path}", timeout=10) as answer:
            life.places[f"public: {path}"] = answer.read()


def _server(life: Life) -> None:
    """What lies on disk: the server's log, its store, and the log of the target."""
    system = life.system
    life.processes |= {
        f"server {kind}": Path(f"/proc/{system.program.pid}/{kind}").read_bytes()
        for kind in ("cmdline", "environ")
    }
    life.places["log: target"] = system.postgres.log_path.read_bytes()
    if system.plan.store == "postgresql":
        life.places["store: dump"] = _dump(system)
    for path in (system.place / "state").rglob("*"):
        # The keys and the link are where they belong: in files that only the operator reads.
        if path.is_file() and path.parent.name != "keys" and path.name != "invitation":
            life.places[f"store: {path.name}"] = path.read_bytes()
    # Stopping writes, too; and the log is whole only then.
    system.program.stop()
    life.places["log: server"] = system.program.log.read_bytes()


def _dump(system: System) -> bytes:
    database = urlsplit((system.place / "dsn").read_text().strip()).path[1:]
    done = subprocess.run(
        [str(BINARIES / "pg_dump"), "-h", "127.0.0.1", "-p", str(system.postgres.port), "-U", ROOT_USER]
        + ["--inserts", database],
        env={**os.environ, "PGPASSWORD": system.postgres.password},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout
