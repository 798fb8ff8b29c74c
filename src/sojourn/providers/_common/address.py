"""Where a target is and who administers it, read from one URL that holds a password.

Knows the parts of a URL and how TLS is asked for. No message repeats what was read.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

TLS_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint with the admin's login; `tls` is one of `TLS_MODES`."""

    scheme: str
    host: str
    port: int
    user: str
    password: Secret
    path: str
    tls: str
    ca_file: str | None = None  # a PEM file; None means the system's own roots

    def context(self) -> ssl.SSLContext | None:
        """The TLS settings that `tls` asks for; None only for `disable`."""
        if self.tls == "disable":
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.check_hostname = self.tls == "verify-full"
        if self.tls == "require":
            context.verify_mode = ssl.CERT_NONE
        return context


class ClientAddress(Protocol):
    """Settings that say where workloads connect, if not where the admin does."""

    @property
    def client_host(self) -> str | None: ...

    @property
    def client_port(self) -> int | None: ...


R = TypeVar("R", bound=ClientAddress)


@dataclass(frozen=True, slots=True)
class TargetConfig(Generic[R]):
    """One target: where it is, who administers it, and what was said of it besides."""

    address: Address
    settings: R
    templates: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port that workloads are told."""
        return self.settings.client_port or self.address.port

    @property
    def host(self) -> str:
        """The host that workloads are told."""
        return self.settings.client_host or self.address.host


def read_address(url: Secret, schemes: Mapping[str, int]) -> Address:
    """Read `scheme://user:password@host:port/path?tls=…&ca_file=…`; `schemes` has default ports.

    Without `tls` a loopback address is reached in the clear, all others by `verify-full`.

    Raises:
        Invalid: code `bad_target`; the message never repeats the URL.
    """
    try:
        parts = urlsplit(url.reveal().strip())
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise Invalid("bad_target", "the address is not a URL with a numeric port") from error
    if parts.scheme not in schemes:
        raise Invalid("bad_target", f"the address begins with one of {[f'{one}://' for one in schemes]}")
    if unknown := sorted(options.keys() - {"tls", "ca_file"}):
        raise Invalid("bad_target", f"unknown member `{unknown[0][:40]}` in the query of the address")
    host, user = parts.hostname or "", unquote(parts.username or "")
    for name, given in (("host", host), ("user", user), ("password", parts.password or "")):
        if not given:
            raise Invalid("bad_target", f"the address has no {name}")
    tls = options.get("tls", "disable" if host in _LOOPBACK else "verify-full")
    if tls not in TLS_MODES:
        raise Invalid("bad_target", f"`tls` must be one of {list(TLS_MODES)}")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or schemes[parts.scheme],
        user=user,
        password=Secret(unquote(parts.password or "")),
        path=unquote(parts.path.removeprefix("/")),
        tls=tls,
        ca_file=options.get("ca_file"),
    )
