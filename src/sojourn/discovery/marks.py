"""Secrets that can be told by their own look, whatever file they stand in.

Each mark is a prefix its maker gave it so that it can be found. The regular expressions are
linear: no repetition stands within another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mark:
    """How one kind of secret looks."""

    kind: str
    look: re.Pattern[str]
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A secret in a line: its kind, and a name for it that gives nothing away."""

    kind: str
    name: str
    privileged: bool = False


MARKS: Final = (
    Mark("aws_access_key", re.compile(r"\bAKIA[0-9A-Z]{16}\b")),
    Mark("github_token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b")),
    Mark("github_token", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{40,255}\b")),
    Mark("gitlab_token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,255}")),
    Mark("openbao_token", re.compile(r"\bhv[sb]\.[A-Za-z0-9_-]{20,255}"), privileged=True),
    Mark("slack_token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,255}")),
    Mark("stripe_key", re.compile(r"\b[sr]k_live_[A-Za-z0-9]{16,255}\b")),
    Mark("google_api_key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    Mark("npm_token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    Mark("pypi_token", re.compile(r"\bpypi-AgEI[A-Za-z0-9_-]{40,255}")),
    Mark("private_key", re.compile(r"-----BEGIN (?:[A-Z]+ ){0,2}PRIVATE KEY-----"), privileged=True),
)

_ASSIGNED: Final = re.compile(
    r"""^\s*(?:export\s+|-\s+)?["']?([A-Za-z_][A-Za-z0-9_.-]{0,80})["']?\s*[:=]\s*["']?([^\s"'#]{8,512})"""
)
_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:password|passwd|secret|token|api_?key|access_?key|private_?key|credentials?)$",
    re.IGNORECASE,
)
_IN_URL: Final = re.compile(
    r"""\b([a-z][a-z0-9+.-]{1,20})://([^\s:/@'"]{1,128}):([^\s/@'"]{3,256})@([^\s/'"]{1,255})"""
)
_NO_SECRET: Final = re.compile(
    r"^(?:\$[({A-Za-z_]|<|%|\{\{|\*+$|x{4,}$|changeme|change-me|example|placeholder|your[-_]|todo|none$|null$)",
    re.IGNORECASE,
)
_LOOKS_RANDOM: Final = 8


def seen_in(line: str) -> Iterator[Seen]:
    """Every secret in one line, the surest first; one that was told by its look is told once."""
    marked = [
        Seen(mark.kind, _short(mark.kind, found[0]), mark.privileged)
        for mark in MARKS
        if (found := mark.look.search(line))
    ]
    yield from marked
    if marked:
        return
    in_url = _IN_URL.search(line)
    if in_url is not None and not _NO_SECRET.match(in_url[3]):
        yield Seen(f"{_scheme(in_url[1])}_password", f"{in_url[2]}@{in_url[4]}")
        return
    named = _ASSIGNED.match(line)
    if named is not None and _SECRET_NAME.search(named[1]) and _is_secret(named[2]):
        yield Seen("named_secret", named[1])


def _is_secret(value: str) -> bool:
    """Whether a value under a secret's name is one, and no reference or word to be replaced."""
    if _NO_SECRET.match(value):
        return False
    kinds = (str.isdigit, str.isupper, str.islower)
    return len(set(value)) >= _LOOKS_RANDOM and sum(any(map(kind, value)) for kind in kinds) >= 2


def _scheme(scheme: str) -> str:
    return {"postgres": "postgresql"}.get(scheme, scheme.partition("+")[0])


def _short(kind: str, secret: str) -> str:
    """What tells it from others and opens nothing: an AWS key id is public, a token's mark is its make."""
    if kind == "aws_access_key":
        return secret
    return "private key" if kind == "private_key" else f"{secret[:4]}…"
