"""Files whose form is known: what stands in them is told by its place, not by its look."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

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

_KEY_TYPES: Final = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_EXPIRY: Final = re.compile(r'expiry-time="(\d{8}(?:\d{4}(?:\d{2})?)?)(Z?)"')
_FORMATS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_NPM: Final = re.compile(r"^//([^\s:]{1,255}).*:_(?:authToken|password)\s*=\s*(?!\$\{)\S{8,}")


def reader_of(text: Text) -> Reader | None:
    """What reads this file, if its name says what it is."""
    name, folder = text.path.name, text.path.parent.name
    if (folder, name) == (".docker", "config.json"):
        return _docker
    return _READERS.get(name)


def _authorized_keys(text: Text) -> Iterator[Entry]:
    """OpenSSH's list of keys that may log in (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""
    for number, line in enumerate(text.lines, 1):
        words = line.split()
        start = next((i for i, word in enumerate(words) if word.startswith(_KEY_TYPES)), None)
        if not words or words[0].startswith("#") or start is None or len(words) < start + 2:
            continue
        comment = " ".join(words[start + 2 :])
        print_of = _fingerprint(words[start + 1])
        root = "root" in text.path.parts
        yield Entry("ssh_authorized_key", number, print_of, comment or None, _expiry(line), privileged=root)


def _fingerprint(blob: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except ValueError:
        return "a key that cannot be read"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _expiry(line: str) -> datetime | None:
    found = _EXPIRY.search(line)
    if found is None:
        return None
    try:
        instant = datetime.strptime(found[1], _FORMATS[len(found[1])]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return instant if found[2] else None  # without Z it is local to a machine we do not know


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
