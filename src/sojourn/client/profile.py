"""The profile: which server, as which client, with which key; one 0600 file per role.

The place is `$SOJOURN_PROFILE` (a file, or a folder of profiles), else
`~/.config/sojourn/<role>.json`. The private key is in it and nowhere else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sojourn.client.jsonfacts import member, parse_object, text, text_or_none
from sojourn.client.private_file import read_private, write_private
from sojourn.client.signing import Es256Key
from sojourn.core.errors import Invalid, NotFound

VARIABLE: Final = "SOJOURN_PROFILE"


@dataclass(frozen=True, slots=True)
class Profile:
    """A registered client, as itself."""

    issuer: str
    client_id: str
    name: str
    role: str
    key: Es256Key
    log_vkey: str | None = None  # the log's key as seen at enrolment; pins evidence
    audience: str | None = None  # of a guard: the API it stands before


def profile_folder(environ: Mapping[str, str]) -> Path:
    """The folder in which profiles are kept."""
    given = environ.get(VARIABLE)
    if given and Path(given).is_dir():
        return Path(given)
    if given:
        return Path(given).parent
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    return Path(home) / "sojourn"


def profile_path(role: str, environ: Mapping[str, str], *, chosen: str | None = None) -> Path:
    """Where the profile of `role` is; `chosen` and the environment name a file or a folder."""
    given = chosen or environ.get(VARIABLE)
    if given and not Path(given).is_dir():
        return Path(given)
    folder = Path(given) if given else profile_folder(environ)
    return folder / f"{role}.json"


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        NotFound: code `no_profile`.
        Invalid: code `unsafe_file`, `bad_profile` or `bad_key`.
    """
    try:
        found = parse_object(read_private(path))
    except NotFound as error:
        mend = "run `sojourn login LINK`, or ask an operator for `sojourn client add`"
        raise NotFound("no_profile", f"there is no profile at `{path}`; {mend}") from error
    try:
        return Profile(
            text(found, "issuer"),
            text(found, "client_id"),
            text(found, "name"),
            text(found, "role"),
            Es256Key.read(member(found, "jwk")),
            text_or_none(found, "log_vkey"),
            text_or_none(found, "audience"),
        )
    except Invalid as error:
        if error.code == "bad_key":
            raise
        raise Invalid("bad_profile", f"`{path}` is no profile: {error.message}") from error


def save_profile(path: Path, profile: Profile) -> None:
    """Write `profile` with mode 0600, in one step."""
    content = {
        "issuer": profile.issuer,
        "client_id": profile.client_id,
        "name": profile.name,
        "role": profile.role,
        "log_vkey": profile.log_vkey,
        "audience": profile.audience,
        "jwk": json.loads(profile.key.private_jwk().reveal()),
    }
    write_private(path, json.dumps(content, indent=2, sort_keys=True) + os.linesep)
