"""Where a target is and who administers it, read from one URL that holds a password.

Knows the parts of a URL and how TLS is asked for. No message repeats what was read.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

TLS_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

S = TypeVar("S", bound=msgspec.Struct)


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


def read_settings(settings: Mapping[str, object], kind: type[S]) -> S:
    """What an operator says of a target beside its secret, read strictly.

    Raises:
        Invalid: code `bad_target`; a setting is unknown, of another type, or out of bounds.
    """
    return _read(settings, kind, "bad_target")


def read_template(template: Mapping[str, object], kind: type[S]) -> S:
    """A grant template, read strictly.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    return _read(template, kind, "bad_template")


def _read(given: Mapping[str, object], kind: type[S], code: str) -> S:
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Invalid(code, f"{text[:1].lower()}{text[1:300]}") from error
