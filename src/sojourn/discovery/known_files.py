"""Files whose form is known: what stands in them is told by its place, not by its look."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from sojourn.core.authorized_keys import read_line
from sojourn.discovery.walk import Text


@dataclass(frozen=True, slots=True)
class Entry:
    """One credential in a known file."""

    kind: str
    line: int
    name: str
    owner_guess: str | None = None
    expires_at: datetime | None = None
    privileged: bool = False


Reader = Callable[[Text], Iterator[Entry]]

_NPM: Final = re.compile(r"^//([^\s:]{1,255}).*:_(?:authToken|password)\s*=\s*(?!\$\{)\S{8,}")


def reader_of(text: Text) -> Reader | None:
    """What reads this file, if its name says what it is."""
    name, folder = text.path.name, text.path.parent.name
    if (folder, name) == (".docker", "config.json"):
        return _docker
    return _READERS.get(name)


def _authorized_keys(text: Text) -> Iterator[Entry]:
    """OpenSSH's list of keys that may log in; root's own, and authorities, may do everything."""
    root = "root" in text.path.parts
    for number, line in enumerate(text.lines, 1):
        if key := read_line(line):
            told = (number, key.fingerprint, key.comment, key.expires_at)
            yield Entry("ssh_authorized_key", *told, privileged=root or key.authority)


def _pgpass(text: Text) -> Iterator[Entry]:
    """PostgreSQL's password file: host:port:database:user:password."""
    for number, line in enumerate(text.lines, 1):
        parts = re.split(r"(?<!\\):", line.strip())
        if len(parts) == 5 and not line.startswith("#"):
            yield Entry("postgresql_password", number, f"{parts[3]}@{parts[0]}")


def _netrc(text: Text) -> Iterator[Entry]:
    """The password file of ftp, curl and git: machine, login, password."""
    machine = login = "default"
    for number, line in enumerate(text.lines, 1):
        words = line.split()
        for word, value in pairwise(words):
            if word == "machine":
                machine, login = value, "default"
            elif word == "login":
                login = value
            elif word == "password":
                yield Entry("http_password", number, f"{login}@{machine}")


def _npmrc(text: Text) -> Iterator[Entry]:
    for number, line in enumerate(text.lines, 1):
        if found := _NPM.match(line.strip()):
            yield Entry("npm_token", number, found[1].rstrip("/"))


def _docker(text: Text) -> Iterator[Entry]:
    """Docker's client configuration: logins in base64, unless a credential store keeps them."""
    try:
        told = json.loads(text.content)
    except (ValueError, RecursionError):
        return
    auths = told.get("auths") if isinstance(told, dict) else None
    for registry, one in (auths if isinstance(auths, dict) else {}).items():
        if isinstance(one, dict) and (one.get("auth") or one.get("identitytoken")):
            yield Entry("registry_password", _line_of(text, str(registry)), str(registry))


def _line_of(text: Text, word: str) -> int:
    return next((number for number, line in enumerate(text.lines, 1) if word in line), 1)


_READERS: Final[Mapping[str, Reader]] = {
    "authorized_keys": _authorized_keys,
    "authorized_keys2": _authorized_keys,
    ".pgpass": _pgpass,
    "pgpass.conf": _pgpass,
    ".netrc": _netrc,
    "_netrc": _netrc,
    ".npmrc": _npmrc,
}
