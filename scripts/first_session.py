"""The first session, played with the real commands against a real PostgreSQL.

Each step shows the command as a person would type it, what it printed, and what was checked.
The exit code is the outcome of the story: 0 only when every check held. Everything it makes
lives in one folder, and every process it starts is ended by its pid.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rig.postgres import PostgresServer, psql_path  # noqa: E402 - the rig lies beside, not in the package

DEMO: Final = ROOT / "examples" / "first_session"
AUDIENCE: Final = "https://stock.example"
RUN: Final = ("run", "--task", "demo:1", "--for", "2m")
LONG_QUERY: Final = "select count(*), pg_sleep(60) from shop.orders"
T = TypeVar("T")


class StoryFailed(Exception):
    """A check of the story did not hold."""


@dataclass
class Story:
    """Where the story plays, and the processes it has started."""

    place: Path
    port: int
    postgres: PostgresServer
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """What the commands see: our own configuration folder, the real psql, nothing secret."""
        path = f"{psql_path().parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {
            **os.environ,
            "PATH": path,
            "XDG_CONFIG_HOME": str(self.place / "config"),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *words: str, expect: int = 0, secret: str | None = None) -> str:
        """Show and run one command to its end; its output."""
        show(words)
        done = subprocess.run(
            [*sojourn(), *words],
            env=self.env,
            input=secret,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        tell(done.stdout, done.stderr)
        check(
            done.returncode == expect,
            f"`sojourn {words[0]}` exits with {expect}",
            f"it exited with {done.returncode}",
        )
        return done.stdout

    def ask(self, *words: str) -> dict[str, object]:
        """Run one command with `--json`, without showing it; its answer."""
        done = subprocess.run(
            [*sojourn(), *words, "--json"],
            env=self.env,
            text=True,
            capture_output=True,
            timeout=60,
            check=True,
        )
        answer = json.loads(done.stdout)
        if not isinstance(answer, dict):
            raise StoryFailed(f"`{' '.join(words)}` did not answer an object")
        return answer

    def begin(
        self, *words: str, env: Mapping[str, str] | None = None, out: IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Show a command and start it in the background, in a group of its own."""
        show(words)
        return self.start([*sojourn(), *words], env=env, out=out)

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, out: IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a process and remember it."""
        sink = out or subprocess.DEVNULL
        process = subprocess.Popen(
            command,
            env={**self.env, **(env or {})},
            text=True,
            stdout=sink,
            stderr=sink,
            cwd=ROOT,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def roles(self) -> int:
        """How many roles of ours the target holds, asked as its superuser."""
        return int(self.postgres.sql(r"select count(*) from pg_roles where rolname like 'sj\_%'", "shop"))

    def sessions(self, state: str) -> list[str]:
        """The ids of the sessions in a state."""
        found = self.ask("session", "ls", "--state", state)["sessions"]
        return [str(one["id"]) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def active(self) -> str:
        """The id of the one session that is active now."""
        found = self.sessions("active")
        if len(found) != 1:
            raise StoryFailed(f"expected one active session, found {len(found)}")
        return found[0]

    def close(self) -> None:
        """End what was started, last first."""
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)
        self.postgres.remove()


def server_up(story: Story) -> None:
    """Step 1: a server, a target, and its rehearsal."""
    step(1, "server up, target added, preflight green")
    with (story.place / "server.log").open("w") as log:
        story.begin("dev", "--state", str(story.place / "state"), "--port", str(story.port), out=log)
    wait_for("the server answers", lambda: fetch(f"http://127.0.0.1:{story.port}/readyz") == 200, 20)
    story.run("run", "--quiet", "--", "true")
    link = (story.place / "state" / "invitation").read_text().strip()
    story.run("login", "--name", "ada", secret=f"{link}\n")
    word = secrets.token_urlsafe(18)
    story.postgres.sql(f"CREATE ROLE sojourn_admin LOGIN CREATEROLE PASSWORD '{word}'")
    story.postgres.sql("GRANT pg_signal_backend TO sojourn_admin; CREATE DATABASE shop;")
    story.postgres.sql((DEMO / "shop.sql").read_text(), "shop")
    dsn = story.postgres.dsn("shop", user="sojourn_admin", password=word)
    add = ("target", "add", "shop", "--templates", relative(DEMO / "templates.yaml"), "--secret-file", "-")
    story.run(*add, secret=f"{dsn}\n")
    story.run("target", "preflight", "shop")
    story.run("charter", "apply", relative(DEMO / "charter.yaml"))


def a_task(story: Story) -> str:
    """Step 2: a task works, ends, and its role is gone."""
    step(2, "a task gets access, works, ends, and its access is gone")
    query = "select id, item from shop.orders order by id"
    story.run(*RUN, "--grant", "shop-readonly", "--", "psql", "-X", "-c", query)
    check(story.roles() == 0, "no role of ours is left in PostgreSQL")
    ended = story.sessions("ended")
    check(len(ended) == 2, "the session is `ended`, like the empty one before it")
    return ended[-1]


def killed_mid_query(story: Story) -> None:
    """Step 3: a kill cuts the open connection."""
    step(3, "the same with a long query, killed from a second shell")
    running = story.begin(*RUN, "--grant", "shop-readonly", "--quiet", "--", "psql", "-X", "-c", LONG_QUERY)
    wait_for("the query runs", lambda: busy(story) == 1, 15)
    live = story.active()
    story.run("session", "kill", live, "--detail", "the story says so")
    check(busy(story) == 0, "the open connection is dead")
    check(running.wait(15) != 0, "the command under `sojourn run` did not end well")
    check(story.roles() == 0, "no role of ours is left in PostgreSQL")


def wrapper_shot(story: Story) -> None:
    """Step 4: nobody is left to say that the work is over."""
    step(4, "the same with the wrapper killed -9: ended by the missed heartbeat")
    running = story.begin(*RUN, "--grant", "shop-readonly", "--quiet", "--", "psql", "-X", "-c", LONG_QUERY)
    wait_for("the query runs", lambda: busy(story) == 1, 15)
    live = story.active()
    print(f"$ kill -9 {running.pid}", flush=True)
    running.kill()
    began = time.monotonic()
    seen = wait_for("it ended", lambda: ended_cause(story, live), 15)
    took = time.monotonic() - began
    print(f"  ended({seen}) {took:.1f} s after the wrapper was shot (bound: 6 s of silence and 2 s of sweep)")
    check(seen == "missed_beat" and took < 10, "the session ended by its missed heartbeat, within its bound")
    check(story.roles() == 0 and busy(story) == 0, "no role and no connection of ours is left in PostgreSQL")


def guarded_api(story: Story) -> None:
    """Step 5: an API refuses the dead session, and cuts its open stream."""
    step(5, "a guarded API: accepted, then refused, and the open stream cut")
    port = free_port()
    base, profile = f"http://127.0.0.1:{port}", story.place / "config" / "guard.json"
    guard = ("client", "add", "stock-api", "--role", "guard", "--owner", "team-shop")
    story.run(*guard, "--audience", AUDIENCE, "--out", str(profile))
    api = [sys.executable, "-m", "uvicorn", "--factory", "examples.guarded_api:create", "--port", str(port)]
    with (story.place / "api.log").open("w") as log:
        story.start(api, env={"GUARD_PROFILE": str(profile), "GUARD_BASE": base}, out=log)
    wait_for("the API answers", lambda: fetch(f"{base}/stock") == 401, 15)
    print("  without a session: 401")
    times = story.place / "probe.json"
    probe = (sys.executable, str(ROOT / "scripts" / "probe_api.py"), str(times))
    story.begin(*RUN, "--grant", "stock", "--api", f"{AUDIENCE}={base}", "--quiet", "--", *probe)
    wait_for("a call was accepted and a stream is open", lambda: told(times).get("streaming"), 15)
    print(f"  inside the session: {told(times)['first']}, and a stream is open")
    live = story.active()
    story.run("session", "kill", live)
    killed_at = refused_at(story, live)
    seen = wait_for("the probe is refused", lambda: told(times) if "refused_at" in told(times) else None, 15)
    refused_ms = 1000 * (float(str(seen["refused_at"])) - killed_at)
    cut_ms = 1000 * (float(str(seen["cut_at"])) - killed_at)
    print(f"  next call refused ({seen['refused']}) {refused_ms:.0f} ms after the end was committed")
    print(f"  open stream cut {cut_ms:.0f} ms after the end was committed")
    check(max(refused_ms, cut_ms) < 1000, "the API refused, and cut the stream, within a second")


def evidence(story: Story, session: str) -> None:
    """Step 6: proof, and what becomes of a forged one."""
    step(6, "evidence exported, verified, one byte flipped, failure named")
    bundle = story.place / "first.bundle"
    story.run("evidence", session, "--out", str(bundle))
    story.run("verify", str(bundle))
    raw = bytearray(bundle.read_bytes())
    at = raw.index(b'"destroyed_at"')
    raw[at + 20] ^= 1
    forged = story.place / "forged.bundle"
    forged.write_bytes(bytes(raw))
    story.run("verify", str(forged), expect=4)


def busy(story: Story) -> int:
    """Connections in the target whose role is one of ours, or no role any more."""
    query = r"""select count(*) from pg_stat_activity a where a.datname = 'shop' and a.usesysid is not null
        and not exists (select from pg_roles r where r.oid = a.usesysid and r.rolname !~ '^sj_')"""
    return int(story.postgres.sql(query))


def ended_cause(story: Story, session: str) -> str | None:
    """Why the session ended, once it has."""
    found = story.ask("session", "show", session)["session"]
    assert isinstance(found, dict)
    cause = found.get("cause")
    return str(cause["reason"]) if found.get("state") == "ended" and isinstance(cause, dict) else None


def refused_at(story: Story, session: str) -> float:
    """When the end of the session was committed, in seconds since 1970."""
    found = story.ask("session", "show", session)["session"]
    assert isinstance(found, dict)
    return datetime.fromisoformat(str(found["refused_at"])).timestamp()


def told(path: Path) -> dict[str, object]:
    """What the probe has written so far."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def fetch(url: str) -> int | None:
    """The status of a GET on loopback, or None."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait_for(what: str, look: Callable[[], T], seconds: float) -> T:
    """The first true answer of `look`, or the story fails."""
    give_up = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > give_up:
            raise StoryFailed(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
    return answer


def check(holds: bool, what: str, otherwise: str = "") -> None:
    """Show one check; the story ends where one does not hold."""
    if not holds:
        raise StoryFailed(f"{what}: it does not hold {otherwise}".rstrip())
    print(f"  \N{CHECK MARK} {what}", flush=True)


def step(number: int, title: str) -> None:
    """Show where we are."""
    print(f"\n== {number}. {title}", flush=True)


def show(words: Sequence[str]) -> None:
    """Show a command as a person would type it."""
    print("$ sojourn " + " ".join(w if w and " " not in w else f"'{w}'" for w in words), flush=True)


def tell(*outputs: str) -> None:
    """Show what a command printed."""
    for line in "".join(outputs).splitlines():
        print(f"  {line}", flush=True)


def sojourn() -> list[str]:
    """The command itself, from the environment this script runs in."""
    return [str(Path(sys.executable).parent / "sojourn")]


def relative(path: Path) -> str:
    """A path as it is typed from the root of the project."""
    return str(path.relative_to(ROOT)) if Path.cwd() == ROOT else str(path)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def play(story: Story) -> None:
    """All six steps."""
    server_up(story)
    first = a_task(story)
    killed_mid_query(story)
    wrapper_shot(story)
    guarded_api(story)
    evidence(story, first)


def main() -> int:
    """Play the story; keep the server up afterwards unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    parser.add_argument(
        "--port", type=int, default=0, help="where the server listens (default: 8787, or any with --once)"
    )
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="sojourn-story-"))
    port = options.port or (free_port() if options.once else 8787)
    story = Story(place, port, PostgresServer())
    began = time.monotonic()
    try:
        story.postgres.start()
        play(story)
        print(f"\nthe story held: six steps in {time.monotonic() - began:.1f} s", flush=True)
        if not options.once:
            print(f"the server stays at http://127.0.0.1:{port}; configuration in {place}; Ctrl-C ends it")
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        return 0
    except (StoryFailed, subprocess.SubprocessError) as error:
        print(f"\n!! the story does not hold: {error}", file=sys.stderr)
        for log in sorted(place.glob("*.log")):
            print(f"-- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
        return 1
    finally:
        story.close()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
