"""Look through folders for credentials that stand there, one file after another."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sojourn.core.standing import Standing
from sojourn.discovery.known_files import reader_of
from sojourn.discovery.marks import Seen, seen_in
from sojourn.discovery.walk import Text, texts

Scanned = Callable[[int], None]
"""Told how many files were looked at so far."""

_LONGEST_LINE = 4096
_MOST_IN_A_FILE = 50
_KUBERNETES = {"named_secret": "kubeconfig_credential", "private_key": "kubeconfig_credential"}


@dataclass(frozen=True, slots=True)
class Scan:
    """What to look through."""

    roots: tuple[Path, ...]

    def run(self, scanned: Scanned = lambda _: None) -> Iterator[Standing]:
        """Every finding, in the order of the files; a file says at most 50."""
        for count, text in enumerate(texts(list(self.roots)), 1):
            scanned(count)
            for number, found in enumerate(_found_in(text)):
                if number == _MOST_IN_A_FILE:
                    break
                yield found


def _found_in(text: Text) -> Iterator[Standing]:
    reader = reader_of(text)
    if reader is not None:
        for entry in reader(text):
            yield Standing(
                kind=entry.kind,
                place=f"{text.path}:{entry.line}",
                name=entry.name,
                created_at=text.changed_at,
                expires_at=entry.expires_at,
                owner_guess=entry.owner_guess or _user(text.owner),
                privileged=entry.privileged,
                exposed=entry.kind != "ssh_authorized_key",  # a public key gives nothing away
                grants=_grants(entry.kind),
            )
        return
    kinds = _KUBERNETES if _is_kubeconfig(text) else {}
    for number, line in enumerate(text.lines, 1):
        for seen in seen_in(line[:_LONGEST_LINE]):
            yield _standing(text, number, seen, kinds.get(seen.kind, seen.kind))


def _standing(text: Text, number: int, seen: Seen, kind: str) -> Standing:
    return Standing(
        kind=kind,
        place=f"{text.path}:{number}",
        name=seen.name,
        created_at=text.changed_at,
        owner_guess=_user(text.owner),
        privileged=seen.privileged,
        exposed=True,
        grants=_grants(kind),
    )


def _grants(kind: str) -> dict[str, dict[str, object]] | None:
    """What a charter would grant instead, where a provider makes such credentials."""
    if kind == "ssh_authorized_key":
        return {"host": {"target": "CHANGE-ME-ssh", "template": "shell"}}
    provider = kind.removesuffix("_password")
    provider = {"mariadb": "mysql", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq"}.get(
        provider, provider
    )
    if provider not in ("postgresql", "mysql", "redis", "rabbitmq", "nats"):
        return None
    return {provider: {"target": f"CHANGE-ME-{provider}", "template": "readonly"}}


def _is_kubeconfig(text: Text) -> bool:
    return "\nkind: Config" in f"\n{text.content}" and "clusters:" in text.content


def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
