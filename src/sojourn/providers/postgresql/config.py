"""How one PostgreSQL target is reached by its admin; parsed once, then only read.

Knows the members of a DSN and their bounds. Opens nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

DEFAULT_PORT: Final = 5432
POOL_SIZE: Final = 4  # destroys side by side at one target; each is mostly waiting for the server
ISSUE_SECONDS: Final = 3.0  # the issue fence, counted by the server's own clock
SCRAM_ITERATIONS: Final = 4096  # PostgreSQL's default; some drivers refuse fewer

SSL_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Config:
    """One target: where it is, who administers it, and where its grants may lie."""

    host: str
    database: str
    user: str
    password: Secret | None = None
    port: int = DEFAULT_PORT
    databases: tuple[str, ...] = ()  # further databases a template may name
    sslmode: str = "verify-full"
    sslrootcert: str | None = None  # a PEM file; None means the system's own roots
    client_host: str | None = None  # where workloads connect, if not where the admin does
    client_port: int | None = None
    pool_size: int = POOL_SIZE
    issue_seconds: float = ISSUE_SECONDS
    scram_iterations: int = SCRAM_ITERATIONS
    count_use: bool = False  # ask `pg_stat_statements` what a role was used for
    templates: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _bound("port", self.port, 1, 65535)
        _bound("pool_size", self.pool_size, 1, 64)
        _bound("issue_seconds", self.issue_seconds, 0.1, 10)
        _bound("scram_iterations", self.scram_iterations, 1, 1_000_000)
        if self.sslmode not in SSL_MODES:
            raise Invalid("bad_target", f"`sslmode` must be one of {SSL_MODES}, got `{self.sslmode[:40]}`")

    def all_databases(self) -> tuple[str, ...]:
        """Every database a template may name, the admin's own first."""
        return tuple(dict.fromkeys((self.database, *self.databases)))


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may say of a target beside its DSN; None keeps the default."""

    databases: tuple[str, ...] | None = None
    client_host: str | None = None
    client_port: int | None = None
    pool_size: int | None = None
    scram_iterations: int | None = None
    issue_seconds: float | None = None
    count_use: bool | None = None


def from_dsn(dsn: Secret) -> Config:
    """Read `postgresql://user:password@host:port/database?sslmode=…`.

    Without `sslmode` a loopback address is reached in the clear, all others by `verify-full`.

    Raises:
        Invalid: code `bad_target`; the message never repeats the DSN, which holds a password.
    """
    try:
        url = urlsplit(dsn.reveal())
        port = url.port or DEFAULT_PORT
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    except ValueError as error:
        raise Invalid("bad_target", "the DSN is not a URL with a numeric port") from error
    if url.scheme not in ("postgresql", "postgres"):
        raise Invalid("bad_target", "a DSN begins with `postgresql://`")
    if unknown := sorted(options.keys() - {"sslmode", "sslrootcert"}):
        raise Invalid("bad_target", f"unknown member `{unknown[0][:40]}` in the DSN's query")
    host, database, user = url.hostname or "", unquote(url.path[1:]), unquote(url.username or "")
    for name, text in (("host", host), ("database", database), ("user", user)):
        if not text:
            raise Invalid("bad_target", f"the DSN has no {name}")
    password = None if url.password is None else Secret(unquote(url.password))
    sslmode = options.get("sslmode", "disable" if host in _LOOPBACK else "verify-full")
    root = options.get("sslrootcert")
    return Config(host, database, user, password, port=port, sslmode=sslmode, sslrootcert=root)


def configured(
    settings: Mapping[str, object], templates: Mapping[str, Mapping[str, object]], secret: Secret
) -> Config:
    """The target of the DSN in `secret`, with `settings` that hold nothing secret.

    Raises:
        Invalid: code `bad_target`; a setting is unknown, of another type, or out of bounds.
    """
    try:
        more = msgspec.convert(dict(settings), Settings)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Invalid("bad_target", f"{text[:1].lower()}{text[1:300]}") from error
    told = {name: value for name in Settings.__struct_fields__ if (value := getattr(more, name)) is not None}
    return replace(from_dsn(secret), **told, templates=templates)


def tls(config: Config) -> ssl.SSLContext | None:
    """The TLS settings that `sslmode` asks for; None only for `disable`."""
    if config.sslmode == "disable":
        return None
    context = ssl.create_default_context(cafile=config.sslrootcert)
    context.check_hostname = config.sslmode == "verify-full"
    if config.sslmode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def _bound(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Invalid("bad_target", f"`{name}` must lie between {low} and {high}, got `{value}`")
