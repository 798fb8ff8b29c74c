"""Where a server keeps its things and where it listens: the file that `sojourn serve` reads.

    issuer = "https://sojourn.example"
    state = "/var/lib/sojourn"
    listen = "0.0.0.0:8443"
    certificate = "/etc/sojourn/tls.pem"
    key = "/etc/sojourn/tls.key"
    database_dsn_file = "/etc/sojourn/dsn"     # left out: SQLite in `state`
    client_authorities = "/etc/sojourn/clients.pem"  # left out: no client certificates
    client_cert_proxies = ["10.0.0.5"]         # left out: no `Client-Cert` header is believed
    signer = "/run/sojourn/signer.sock"        # left out: signing keys are opened in this process
    dpop_nonce = true                          # left out: proofs need no nonce

Tables for issuers, trust domains and hosts of hooks: `federation_file`.
No secret stands in it; secrets are in files of their own.
"""

from __future__ import annotations

import os
import secrets
import stat
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.faces.http.federation_file import read_federation
from sojourn.faces.http.serving import Listen
from sojourn.ports.issuers import Federation

_TABLES: Final = frozenset({"issuers", "trust_domains", "hook_hosts"})
_KNOWN: Final = _TABLES | {
    "issuer",
    "state",
    "listen",
    "certificate",
    "key",
    "database_dsn_file",
    "dpop_nonce",
    "client_authorities",
    "client_cert_proxies",
    "signer",
}
_LETTERS: Final = string.ascii_lowercase + string.digits
_ID_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Serving:
    """One server: its public address, its folder, where it listens, and its database."""

    issuer: str
    state: Path
    listen: Listen
    dsn: Secret | None = None
    federation: Federation = field(default_factory=Federation)
    dpop_nonce: bool = False
    signer: Path | None = None  # the socket of the process that holds the signing keys


def read_serving(path: Path) -> Serving:
    """Read the configuration file.

    Raises:
        Invalid: code `bad_config`, naming the member, or `unsafe_file`.
    """
    found = _members(path)
    host, _, port = _text(found, "listen").rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise Invalid("bad_config", "expected `listen` as HOST:PORT")
    listen = Listen(
        host.strip("[]"),
        int(port),
        _path(found, "certificate"),
        _path(found, "key"),
        client_authorities=_path(found, "client_authorities"),
        proxies=_texts(found, "client_cert_proxies"),
    )
    dsn = _path(found, "database_dsn_file")
    issuer = _text(found, "issuer")
    if not issuer.startswith(("https://", "http://")) or issuer.endswith("/"):
        raise Invalid("bad_config", "expected `issuer` as an address without a slash at its end")
    secret = None if dsn is None else Secret(_read_secret(dsn))
    nonce, federation, signer = _flag(found, "dpop_nonce"), read_federation(found), _path(found, "signer")
    state = Path(_text(found, "state"))
    return Serving(issuer, state, listen, secret, federation, dpop_nonce=nonce, signer=signer)


def dev_serving(state: Path, port: int) -> Serving:
    """A server for this machine alone."""
    return Serving(f"http://127.0.0.1:{port}", state, Listen("127.0.0.1", port))


def deployment_id(state: Path) -> str:
    """The four characters in every handle of this deployment; chosen once, kept in its folder."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = state / "deployment"
    if not place.exists():
        write_private(place, "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH)))
    found = _read(place).strip()
    if len(found) != _ID_LENGTH or not set(found) <= set(_LETTERS):
        raise Invalid("bad_config", f"`{place}` holds no deployment id")
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _members(path: Path) -> Mapping[str, object]:
    try:
        found = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise Invalid("bad_config", f"`{path}` is not TOML: {error}") from error
    if unknown := sorted(found.keys() - _KNOWN):
        raise Invalid("bad_config", f"`{unknown[0][:40]}` is no member; known: {', '.join(sorted(_KNOWN))}")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("bad_config", f"`{path}` cannot be read") from error


def _read_secret(path: Path) -> str:
    """The one line of a file that nobody else can read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise Invalid("unsafe_file", f"`{path}` must be a file of ours with mode 0600")
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("bad_config", f"`{path}` cannot be read") from error


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid("bad_config", f"expected `{name}` as text")
    return value


def _texts(found: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = found.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise Invalid("bad_config", f"expected `{name}` as a list of texts")
    return tuple(value)


def _flag(found: Mapping[str, object], name: str) -> bool:
    value = found.get(name, False)
    if not isinstance(value, bool):
        raise Invalid("bad_config", f"expected `{name}` as true or false")
    return value


def _path(found: Mapping[str, object], name: str) -> Path | None:
    return Path(_text(found, name)) if name in found else None
