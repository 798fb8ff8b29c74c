"""Who a guard is: the control plane it listens to, its client id, its key and its audience.

The file is JSON with a private key, so it must be a regular file of ours with mode 0600.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.jose import Es256Key

_LARGEST: Final = 65_536  # bytes; a profile has a few hundred


@dataclass(frozen=True, slots=True)
class GuardProfile:
    """A registered guard, as itself."""

    issuer: str
    client_id: str
    audience: str
    key: Es256Key


def load_profile(path: Path) -> GuardProfile:
    """Read a guard's profile: `issuer`, `client_id`, `audience` and the private `jwk`.

    Raises:
        Invalid: code `unsafe_file` or `bad_profile`.
    """
    try:
        found = json.loads(read_private(path))
    except ValueError as error:
        raise Invalid("bad_profile", f"`{path}` is not JSON") from error
    jwk = found.get("jwk") if isinstance(found, dict) else None
    if not isinstance(jwk, dict):
        raise Invalid("bad_profile", f"`{path}` is no profile: expected an object with `jwk`")
    texts = [found.get(name) for name in ("issuer", "client_id", "audience")]
    issuer, client_id, audience = (text if isinstance(text, str) else "" for text in texts)
    if not (issuer and client_id and audience):
        raise Invalid(
            "bad_profile", f"`{path}` is no guard's profile: needs `issuer`, `client_id`, `audience`"
        )
    return GuardProfile(issuer, client_id, audience, Es256Key.from_jwk(jwk))


def read_private(path: Path) -> str:
    """The text of a file that nobody else can read.

    Raises:
        Invalid: code `unsafe_file` or `bad_profile`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Invalid("bad_profile", f"`{path}` cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise Invalid("unsafe_file", f"`{path}` must be a file of ours with mode 0600")
        return file.read(_LARGEST).decode("utf-8", "replace")
