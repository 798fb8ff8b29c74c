"""One host, who may log in there, and the key by which certificates are signed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.reading import read_settings, read_template

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_HOST_KEY: Final = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,2048}={0,2}")
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One host with `sojourn-host` installed."""

    host: str
    host_key: str  # the line of its public key, without a comment
    users: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
    port: Port = 22
    admin_user: str = "root"
    program: str = "/usr/local/libexec/sojourn-host"
    state: str = "/var/lib/sojourn"
    wrapper: bool = True
    client_host: str | None = None  # where workloads connect, if not where the admin does
    client_port: Port | None = None


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As whom a session logs in, and whether it gets a terminal."""

    user: str
    pty: bool = True


def configured(settings: Mapping[str, object]) -> Settings:
    """The settings of a target.

    Raises:
        Invalid: code `bad_target`, naming the member.
    """
    read = read_settings(settings, Settings)
    # Each of these is an argument of a program, or a word of a command on the host.
    checks: tuple[tuple[str, str, re.Pattern[str]], ...] = (
        ("host", read.host, _HOST),
        ("client_host", read.client_host or read.host, _HOST),
        ("host_key", read.host_key, _HOST_KEY),
        ("admin_user", read.admin_user, _USER),
        ("program", read.program, _PATH),
        ("state", read.state, _PATH),
        *(("users", user, _USER) for user in read.users),
    )
    for member, text, pattern in checks:
        if not pattern.fullmatch(text) or "/.." in text:
            raise Invalid("bad_target", f"`{member}`: `{text[:60]}` cannot be used")
    return read


def template(raw: Mapping[str, object], users: tuple[str, ...]) -> Template:
    """A grant template.

    Raises:
        Invalid: code `bad_template`.
    """
    read = read_template(raw, Template)
    if read.user not in users:
        raise Invalid("bad_template", f"`user` must be one of {list(users)}, got `{read.user[:40]}`")
    return read


def authority(secret: Secret) -> Ed25519PrivateKey:
    """The key of the certificate authority.

    Raises:
        Invalid: code `bad_target`; the message never repeats the secret.
    """
    try:
        key = load_ssh_private_key(secret.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, UnicodeEncodeError):
        text = "the secret must be an OpenSSH private key without a passphrase"
        raise Invalid("bad_target", text) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Invalid("bad_target", "the authority's key must be Ed25519")
    return key
