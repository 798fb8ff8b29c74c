"""What a credential is still good for, tried as its holder would: by psql."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from sojourn.client.views import CredentialView
from tests.rig.postgres import psql_path

_PATIENCE_S: Final = 20.0


def lets_in(credential: CredentialView) -> bool:
    """Whether its holder can log in and be answered now."""
    done = _psql(credential, "SELECT 1")
    _, words = done.communicate(timeout=_PATIENCE_S)
    assert b"could not translate" not in words and b"Connection refused" not in words, words
    return done.returncode == 0


def long_query(credential: CredentialView) -> subprocess.Popen[bytes]:
    """A connection in the middle of a query that would go on for a minute."""
    return _psql(credential, "SELECT pg_sleep(60)")


def _psql(credential: CredentialView, query: str) -> subprocess.Popen[bytes]:
    told = credential.connection
    return subprocess.Popen(
        [str(psql_path()), "-X", "-A", "-t", "-q", "-w", "-h", told["host"], "-p", told["port"]]
        + ["-U", told["user"], "-d", told["database"], "-c", query],
        env={**os.environ, "PGPASSWORD": credential.secret.reveal(), "PGCONNECT_TIMEOUT": "10"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
