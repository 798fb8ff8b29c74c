"""A target that is written to: each row carries the server's own time and the role that wrote it.

What it says is asked as the superuser, beside the control plane: the judge shares nothing with
the judged.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.client.jsonfacts import Json, members
from sojourn.core.secret import Secret
from sojourn.providers.postgresql.scram import verifier
from tests.rig.system import ACTION, API_GRANT, AUDIENCE, OWNER, System

GRANT: Final = "books-writer"
ROOM: Final = 12  # connections of one session: six threads, each with one that may still be closing

_BOOKS: Final = """
CREATE SCHEMA IF NOT EXISTS books;
CREATE TABLE IF NOT EXISTS books.lines (
  at timestamptz NOT NULL DEFAULT clock_timestamp(), who text NOT NULL DEFAULT session_user, line text);
GRANT CONNECT ON DATABASE "{database}" TO "{admin}" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA books TO "{admin}" WITH GRANT OPTION;
GRANT SELECT, INSERT ON books.lines TO "{admin}" WITH GRANT OPTION;
"""


@dataclass(frozen=True, slots=True)
class Books:
    """One target with its own admin, in the system's database."""

    system: System
    target: str
    admin: str
    word: str

    def dsn(self, port: int | None = None) -> str:
        """The admin's DSN; `port` leads it through a proxy."""
        there = self.system.postgres.dsn(self.system.database, user=self.admin, password=self.word)
        return there if port is None else there.replace(f":{self.system.postgres.port}/", f":{port}/")

    def template(self) -> Json:
        """May read and write the lines."""
        return {
            "database": self.system.database,
            "schemas": {"books": {"privileges": ["USAGE"]}},
            "tables": [{"schema": "books", "name": "lines", "privileges": ["SELECT", "INSERT"]}],
            "connection_limit": ROOM,
        }

    def prepare(self) -> None:
        """Make admin and table, as the superuser."""
        postgres, names = self.system.postgres, {"database": self.system.database, "admin": self.admin}
        # A verifier, so that the word itself is in no statement of ours that the server might log.
        proof = verifier(Secret(self.word), iterations=4096)
        postgres.sql(f"CREATE ROLE \"{self.admin}\" LOGIN CREATEROLE PASSWORD '{proof}'")
        postgres.sql(f'GRANT pg_signal_backend TO "{self.admin}"')
        postgres.sql(_BOOKS.format(**names), self.system.database)

    def add(self, *, port: int | None = None, settings: Mapping[str, object] | None = None) -> None:
        """Add it to the control plane."""
        ask = self.system.operator.ask
        body = {"name": self.target, "provider": "postgresql", "settings": dict(settings or {})}
        body |= {"templates": {"writer": self.template()}, "secret": self.dsn(port)}
        ask("POST", "/v1/targets", body)

    def preflight(self) -> None:
        """Try it out; it is ready afterwards, or the test fails."""
        answer = self.system.operator.ask("POST", f"/v1/targets/{self.target}/preflight", {}, wait_s=45)
        checks = members(answer.json(), "checks")
        assert checks and all(check.get("ok") for check in checks), checks


def new_books(system: System, target: str = "books") -> Books:
    """Books that nobody has heard of yet; the admin's password is of this run alone."""
    mark = secrets.token_hex(4)
    return Books(system, target, f"books_admin_{mark}", f"word-of-the-admin-{secrets.token_urlsafe(18)}")


def grant_books(system: System, targets: Sequence[str] = ("books",), **changes: object) -> None:
    """Apply a charter that lets the workload write; with one target the grant is `GRANT`."""
    names = [GRANT] if len(targets) == 1 else [f"{GRANT}-{number}" for number in range(len(targets))]
    grants: dict[str, object] = {
        name: {"target": target, "template": "writer"} for name, target in zip(names, targets, strict=True)
    }
    grants[API_GRANT] = {"audience": AUDIENCE, "actions": [ACTION]}
    system.apply_charter(**{"owner": OWNER, "grants": grants, **changes})


def with_books(system: System, **changes: object) -> Books:
    """Books that are ready to be written to, with their charter."""
    books = new_books(system)
    books.prepare()
    books.add()
    books.preflight()
    grant_books(system, (books.target,), **changes)
    return books


def oid_of(system: System, handle: str) -> int:
    """The OID of a role that is there."""
    return int(system.postgres.sql(f"SELECT oid FROM pg_roles WHERE rolname = '{handle}'"))


def left_of(system: System, oids: Sequence[int]) -> int:
    """How many of these OIDs still are roles, or have connections."""
    listed = ",".join(map(str, oids))
    query = (
        f"SELECT (SELECT count(*) FROM pg_roles WHERE oid IN ({listed}))"
        f" + (SELECT count(*) FROM pg_stat_activity WHERE usesysid IN ({listed}))"
    )
    return int(system.postgres.sql(query))


def last_line(system: System, handle: str) -> datetime | None:
    """When the role wrote last, by the clock of the target."""
    query = f"SELECT to_json(max(at) AT TIME ZONE 'UTC') FROM books.lines WHERE who = '{handle}'"
    found = system.postgres.sql(query, system.database).strip('"')
    return datetime.fromisoformat(f"{found}+00:00") if found and found != "null" else None
