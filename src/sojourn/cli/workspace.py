"""`SOJOURN_DIR`: what the command finds of its session, as paths in its environment.

The folder is 0700 and goes when the command goes. No secret is in the environment unless
`--env` asked for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sojourn.cli.connection_files import connection_files, connection_paths
from sojourn.client.views import CredentialView

_POSTGRES: Final = ("postgres", "postgresql")
_LONGEST_SOCKET: Final = 100  # sun_path is 108 bytes
# What libpq calls the members of a connection, and the variable that carries each.
_LIBPQ: Final = {
    "host": ("host", "PGHOST"),
    "port": ("port", "PGPORT"),
    "database": ("dbname", "PGDATABASE"),
    "dbname": ("dbname", "PGDATABASE"),
    "user": ("user", "PGUSER"),
    "sslmode": ("sslmode", "PGSSLMODE"),
    "sslrootcert": ("sslrootcert", "PGSSLROOTCERT"),
}


class Workspace:
    """The folder of one session."""

    def __init__(self, session: str, environ: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"sojourn-{session}-", dir=_base(environ, session)))
        self.socket = self.folder / "api.sock"

    def write(self, credentials: Sequence[CredentialView]) -> None:
        """Write the files for `credentials`, over what was there."""
        postgres = [c for c in credentials if c.provider in _POSTGRES]
        self._put("pgpass", "".join(_pgpass_line(c) for c in postgres))
        self._put("pg_service.conf", "".join(self._service(c) for c in postgres))
        others = [c for c in credentials if c.provider not in _POSTGRES]
        for name, content in connection_files(others).items():
            self._put(name, content)

    def environment(self, credentials: Sequence[CredentialView], *, secrets: bool) -> dict[str, str]:
        """What the command's environment gets: paths, and with `secrets` the first credential."""
        added = {"SOJOURN_DIR": str(self.folder), "SOJOURN_SOCKET": str(self.socket)}
        added |= connection_paths(self.folder, credentials)
        first = next((c for c in credentials if c.provider in _POSTGRES), None)
        if first is None:
            return added
        added["PGPASSFILE"] = str(self.folder / "pgpass")
        added["PGSERVICEFILE"] = str(self.folder / "pg_service.conf")
        added["PGSERVICE"] = first.grant
        if secrets:
            added |= {_LIBPQ[n][1]: v for n, v in first.connection.items() if n in _LIBPQ}
            added["PGPASSWORD"] = first.secret.reveal()
        return added

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _service(self, credential: CredentialView) -> str:
        lines = [f"{_LIBPQ[n][0]}={v}" for n, v in credential.connection.items() if n in _LIBPQ]
        return "\n".join([f"[{credential.grant}]", *lines, ""]) + "\n"

    def _put(self, name: str, content: str) -> None:
        draft = self.folder / f".{name}.new"
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(draft, self.folder / name)


def _base(environ: Mapping[str, str], session: str) -> str:
    given = environ.get("XDG_RUNTIME_DIR", "")
    fits = len(given) + len(session) + len("/sojourn--12345678/api.sock") < _LONGEST_SOCKET
    return given if given and fits and os.access(given, os.W_OK) else tempfile.gettempdir()


def _pgpass_line(credential: CredentialView) -> str:
    told = credential.connection
    database = told.get("database") or told.get("dbname") or "*"
    fields = (told.get("host", "*"), told.get("port", "*"), database, told.get("user", "*"))
    # libpq looks a Unix socket's folder up as the folder, or as `localhost` for its default one.
    escaped = [f if f == "*" else f.replace("\\", "\\\\").replace(":", "\\:") for f in fields]
    secret = credential.secret.reveal().replace("\\", "\\\\").replace(":", "\\:")
    return ":".join([*escaped, secret]) + "\n"
