"""Tokens, sessions and introspections per second of one core, with npm's oidc-provider beside it.

Run `python bench/oauth.py [--count N]`; it writes `bench/results/oauth.md`. Ours answers durably:
an assertion, a proof and a session are on disk before the answer leaves. Both servers run on the
first core alone; the sender, which signs everything beforehand, has the others. Guards ask in turn,
because each may ask so often and no more.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the servers of the tests serve here too

from bench._wire import Reply, form, rate  # noqa: E402
from bench.harness import Figure, place, publish, said, spread  # noqa: E402
from tests.rig.postgres import PostgresServer  # noqa: E402
from tests.rig.program import Program, free_port  # noqa: E402
from tests.rig.system import AUDIENCE, System  # noqa: E402

from sojourn.client.caller import assertion, prove  # noqa: E402
from sojourn.client.profile import Profile  # noqa: E402
from sojourn.client.signing import Es256Key  # noqa: E402
from sojourn.core.secret import Secret  # noqa: E402

_SCALE, _ES256 = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
IN_FLIGHT = 64
SLICE = 1500  # as many are signed beforehand as are sent before their proofs are old
GUARDS = 16
PEER = ("oidc-provider@8.8.1",)  # the last that runs on node 20
PEER_NAME = "oidc-provider, in memory"
Good = Callable[[Reply], bool]
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DETAILS = json.dumps([{"type": "sojourn_session", "task": {"kind": "demo", "ref": "bench"}}])


class Plane(System):
    """A control plane without targets: only what OAuth needs."""

    def _add_target(self) -> None:
        """There is none."""


def started() -> Plane:
    plane = Plane(cast("PostgresServer", None))
    plane.start()
    plane.enrol()
    plane.apply_charter(grants={"stock": {"audience": AUDIENCE, "actions": ["stock.read"]}})
    pin(plane.program.pid)
    return plane


def pin(pid: int) -> None:
    """Let a process run on the first core only, and us on the others."""
    place(pid, {0})
    others = set(range(os.cpu_count() or 1)) - {0}
    os.sched_setaffinity(0, others or {0})


def ok(reply: Reply) -> bool:
    return reply[0] == 200


def active(reply: Reply) -> bool:
    return b'"active":true' in reply[1]


@dataclass(frozen=True)
class Asker:
    """A guard with its own token."""

    profile: Profile
    token: str


class Ours:
    """Requests to our server, each signed anew."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.guards = cycle([self._guard() for _ in range(GUARDS)])
        self.live = str(self.answer(self.session())["access_token"])

    def _guard(self) -> Asker:
        profile = self.plane.add_client(f"guard-{secrets.token_hex(3)}", "guard", audience=AUDIENCE)
        return Asker(profile, str(self.answer(self.token(profile))["access_token"]))

    def asserted(self, profile: Profile, **fields: str) -> dict[str, str]:
        signed = assertion(profile, self.plane.clock)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed, **fields}

    def proof(self, key: Es256Key, path: str, token: str | None = None) -> str:
        held = None if token is None else Secret(token)
        return prove(key, self.plane.clock, "POST", self.plane.issuer + path, access_token=held)

    def token(self, profile: Profile | None = None) -> bytes:
        """A client's own token."""
        profile, path = profile or self.plane.workload, "/oauth2/token"
        fields = self.asserted(profile, grant_type="client_credentials")
        return form(self.plane.issuer + path, fields, DPoP=self.proof(profile.key, path))

    def session(self) -> bytes:
        """A session with its token."""
        profile, path = self.plane.workload, "/oauth2/token"
        fields = self.asserted(profile, grant_type="client_credentials", authorization_details=DETAILS)
        return form(self.plane.issuer + path, fields, DPoP=self.proof(profile.key, path))

    def introspection(self) -> bytes:
        """A guard asks about the token of a session, by its own token and a proof."""
        path, guard = "/oauth2/introspect", next(self.guards)
        return form(
            self.plane.issuer + path,
            {"token": self.live},
            Authorization=f"DPoP {guard.token}",
            DPoP=self.proof(guard.profile.key, path, guard.token),
        )

    def answer(self, raw: bytes) -> dict[str, Any]:
        """The answer to one request, sent alone."""
        seen: list[Reply] = []

        def keep(reply: Reply) -> bool:
            seen.append(reply)
            return ok(reply)

        asyncio.run(rate(self.plane.port, [raw], in_flight=1, good=keep))
        return dict(json.loads(seen[0][1]))


def cpu_s(pid: int) -> float:
    """What the process has used of its core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def signature_us() -> float:
    """What one ES256 verification costs on the servers' core now; a shared machine bends it, too."""
    sender = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    signature = _SCALE.sign(b"scale", _ES256)
    began = time.thread_time()
    for _ in range(100):
        _SCALE.public_key().verify(signature, b"scale", _ES256)
    used = time.thread_time() - began
    os.sched_setaffinity(0, sender)
    return used * 1e4


@dataclass(frozen=True)
class Served:
    """A server that is measured."""

    name: str
    program: Program
    port: int

    def measured(self, what: str, make: Callable[[], bytes], count: int, *, good: Good = ok) -> Figure:
        """Answers per second; and per second of processor time, which a busy machine bends less."""
        self._slice([make() for _ in range(max(IN_FLIGHT, count // 10))], good)
        took: list[float] = []
        scale = [signature_us()]
        wall = used = 0.0
        while len(took) < count:
            requests = [make() for _ in range(min(SLICE, count - len(took)))]
            before = cpu_s(self.program.pid)
            each, times = self._slice(requests, good)
            used += cpu_s(self.program.pid) - before
            wall += len(times) / each
            took += times
            scale.append(signature_us())
        rates = {"per_second": round(count / wall), "per_second_of_cpu": round(count / max(used, 0.01))}
        rates["one_es256_us"] = round(median(scale))
        return said({"server": self.name, "what": what, **rates, **spread(took)})

    def _slice(self, requests: list[bytes], good: Good) -> tuple[float, list[float]]:
        return asyncio.run(rate(self.port, requests, in_flight=IN_FLIGHT, good=good))


def ours(count: int) -> list[Figure]:
    plane = started()
    try:
        asks, served = Ours(plane), Served("sojourn", plane.program, plane.port)
        return [
            served.measured("token", asks.token, count),
            served.measured("introspection", asks.introspection, count, good=active),
            served.measured("session", asks.session, count // 2),
        ]
    finally:
        plane.close()


def peer(count: int) -> list[Figure]:
    """The same questions to oidc-provider, where node and npm are there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("oidc-provider: not run, node or npm is missing", flush=True)
        return []
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as place:
        shutil.copy(ROOT / "bench" / "oidc_provider.mjs", place)
        got = subprocess.run([npm, "install", "--prefix", place, "--no-audit", *PEER], capture_output=True)
        if got.returncode:
            print("oidc-provider: not run, npm could not install it", flush=True)
            return []
        return [_asked(node, Path(place), "jwt", count), _asked(node, Path(place), "opaque", count)]


def _asked(node: str, place: Path, kind: str, count: int) -> Figure:
    port = free_port()
    program = Program([node, str(place / "oidc_provider.mjs"), str(port), kind], place / "log")
    program.start()
    try:
        program.wait_for(f"http://127.0.0.1:{port}/.well-known/openid-configuration")
        pin(program.pid)
        issuer = f"http://127.0.0.1:{port}"
        word = base64.b64encode(b"ci:a-secret-of-some-length-for-this-run").decode()
        headers = {"Authorization": f"Basic {word}"}
        asking = form(
            f"{issuer}/token", {"grant_type": "client_credentials", "scope": "stock.read"}, **headers
        )
        served = Served(PEER_NAME, program, port)
        if kind == "jwt":
            return served.measured("token", lambda: asking, count)
        seen: list[Reply] = []
        asyncio.run(rate(port, [asking], in_flight=1, good=lambda r: not seen.append(r)))  # type: ignore[func-returns-value]
        token = json.loads(seen[0][1])["access_token"]
        question = form(f"{issuer}/token/introspection", {"token": token}, **headers)
        return served.measured("introspection", lambda: question, count, good=active)
    finally:
        program.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=6000)
    count = parser.parse_args().count
    publish(
        "oauth",
        "OAuth: answers of one core",
        [*ours(count), *peer(count)],
        told="Each server has the first core alone; the sender, which signed all beforehand, the rest. "
        "Ours verifies two ES256 signatures for a token or a session and one for an introspection, and "
        "syncs its marks to disk; the peer is shown a password and keeps nothing. `one_es256_us` is the "
        "processor time of one verification on that core at that time.",
    )


if __name__ == "__main__":
    main()
