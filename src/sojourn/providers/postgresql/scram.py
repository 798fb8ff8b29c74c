"""The SCRAM-SHA-256 verifier that PostgreSQL stores, computed here.

So the password itself never reaches the server's SQL, and so never its logs
(RFC 5803, RFC 7677; the form is in PostgreSQL's documentation of `pg_authid`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from sojourn.core.secret import Secret

PASSWORD_BYTES: Final = 32  # 256 bits: the verifier tells nothing even with one iteration
_SALT_BYTES: Final = 16


def new_password() -> Secret:
    """A random password in ASCII, so that SASLprep leaves it as it is."""
    return Secret(secrets.token_urlsafe(PASSWORD_BYTES))


def verifier(password: Secret, *, iterations: int, salt: bytes | None = None) -> str:
    """What `ALTER ROLE … PASSWORD` accepts in place of a password (RFC 5802, section 3)."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode("ascii"), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    server = _hmac(salted, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
