"""One deployment to be crashed again and again, and a judge who does not ask it.

The judge looks at the target as its superuser and reads the target's own log.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.rig.one_life import Place
from tests.rig.postgres import PostgresServer
from tests.rig.unavailable import unavailable

ADMIN: Final = "admin-of-the-tests"
LOGGED: Final = ("log_statement=all", "log_line_prefix=<%d> ")
Answer = dict[str, Any]

_ROLES: Final = """
CREATE ROLE governor LOGIN CREATEROLE PASSWORD '{word}';
GRANT pg_signal_backend TO governor;
CREATE DATABASE shop;
"""
_SHOP: Final = """
CREATE SCHEMA shop;
CREATE TABLE shop.items (id int);
GRANT USAGE ON SCHEMA shop TO governor WITH GRANT OPTION;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO governor WITH GRANT OPTION;
"""


def furnish(server: PostgresServer) -> None:
    """The database that is governed, and its administrator."""
    server.sql(_ROLES.format(word=ADMIN))
    server.sql(_SHOP, "shop")


@dataclass
class Grave:
    """A place, the process that forks lives there, and what every judgement must find."""

    server: PostgresServer
    place: Place
    read_to: int = 0
    handles: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        where = Path(self.place.state) / "place.json"
        where.touch(0o600)
        where.write_text(json.dumps(asdict(self.place)))
        self._cradle = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.cradle", str(where)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **more: object) -> Answer:
        """Have one command carried out."""
        stdin, stdout = self._cradle.stdin, self._cradle.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": do, **more}) + "\n")
        stdin.flush()
        answer: Answer = json.loads(stdout.readline())
        failed = [word for word in answer.get("words", []) if word.startswith("failed")]
        assert not failed, json.loads(failed[0].removeprefix("failed "))
        return answer

    def require_tracing(self) -> None:
        """End the test as not run where no process may follow another."""
        if not self.ask("possible")["possible"]:
            unavailable("ptrace", "allow the capability SYS_PTRACE, on x86-64 or arm64 Linux")

    def judge(self, point: str) -> Answer:
        """Recover, then hold the records against the target; `point` names what was done before."""
        told = self.ask("recover")
        prefix = self.place.settings.handle_prefix
        pattern = prefix.replace("_", "\\_") + "%"
        ours = f"rolname LIKE '{pattern}'"
        oids = ",".join(ref for ref in told["refs"] if ref.isdigit()) or "0"
        found = {
            "roles": self.server.sql(f"SELECT count(*) FROM pg_roles WHERE {ours}"),
            "backends": self.server.sql(
                f"SELECT count(*) FROM pg_stat_activity WHERE usesysid IN ({oids})"
                f" OR usesysid IN (SELECT oid FROM pg_roles WHERE {ours})"
                " OR (usesysid IS NOT NULL AND usesysid NOT IN (SELECT oid FROM pg_roles))"
            ),
            "untracked": sorted(self.seen_at_the_target() - set(told["handles"])),
            "undestroyed": told["undestroyed"],
            "differences": told["differences"],
            "log": told["log"],
            "bundle": told["bundle"],
            "errors": told["errors"],
        }
        bundle = "verified ended" if told["sessions"] else "no session"
        assert found == {
            "roles": "0",
            "backends": "0",
            "untracked": [],
            "undestroyed": [],
            "differences": [],
            "log": [],
            "bundle": bundle,
            "errors": {},
        }, point
        return told

    def seen_at_the_target(self) -> set[str]:
        """Every handle in a statement that reached the governed database, ever."""
        with self.server.log_path.open() as log:
            log.seek(self.read_to)
            text = log.read()
            self.read_to = log.tell()
        handle = re.compile(re.escape(self.place.settings.handle_prefix) + r"[a-z2-7]{26}")
        for entry in re.split(r"^(?=<)", text, flags=re.MULTILINE):
            if entry.startswith("<shop>"):
                self.handles.update(handle.findall(entry))
        return self.handles

    def close(self) -> None:
        """Let the cradle go."""
        assert self._cradle.stdin is not None
        self._cradle.stdin.close()
        self._cradle.wait(10)
        assert self._cradle.stdout is not None
        self._cradle.stdout.close()
